import type { Lease } from '../protocol/activities.ts'
import { RollcallError } from '../protocol/failure.ts'
import type { FoundSandbox, Provider } from '../providers/contract/provider.ts'
import { openRunner } from '../runner/open-runner.ts'
import type { Runner } from '../runner/runner.ts'
import { timing } from '../workflows/timing.ts'

const endings: Readonly<Record<NonNullable<FoundSandbox['reason']>, string>> = {
  oom: 'it ran out of memory',
  lifetime: 'its lifetime is over',
  exited: 'its main process has ended',
  unknown: 'somebody has ended or removed it',
}

/**
 * This worker's attachments to sandboxes, kept between the activities of a rollout: opening one costs a
 * `docker exec`. Forgetting one is harmless, another is opened.
 */
export class SandboxAttachments {
  readonly #open = new Map<string, { runner: Runner; idle: NodeJS.Timeout | undefined; users: number }>()
  readonly #idleMs: number

  constructor(idleMs: number) {
    this.#idleMs = idleMs
  }

  /**
   * Uses the sandbox of a lease. @throws RollcallError `host-lost` when this worker is at another place than the lease:
   * a second sandbox is never made there
   */
  async use<Result>(
    at: { provider: Provider; lease: Lease },
    work: (runner: Runner) => Promise<Result>,
  ): Promise<Result> {
    await assertPlace(at.provider, at.lease.place)
    const entry = this.#entry(at)
    entry.users += 1
    clearTimeout(entry.idle)
    try {
      return await work(entry.runner)
    } finally {
      entry.users -= 1
      if (entry.users === 0) entry.idle = setTimeout(() => this.forget(at.lease.sandbox), this.#idleMs).unref()
    }
  }

  /** Ends the attachment; stops nothing in the sandbox. */
  forget(sandbox: string): void {
    const entry = this.#open.get(sandbox)
    this.#open.delete(sandbox)
    clearTimeout(entry?.idle)
    entry?.runner.close()
  }

  close(): void {
    for (const sandbox of this.#open.keys()) this.forget(sandbox)
  }

  #entry({ provider, lease }: { provider: Provider; lease: Lease }) {
    const known = this.#open.get(lease.sandbox)
    if (known !== undefined) return known
    const runner = openRunner({
      connect: () => provider.connect(lease.sandbox),
      isAlive: async () => {
        const found = await provider.find(lease.sandbox)
        if (found?.state === 'running') return { alive: true }
        return {
          alive: false,
          reason: found === undefined ? 'it no longer exists' : endings[found.reason ?? 'unknown'],
        }
      },
      silenceMs: timing.sandboxSilenceMs,
    })
    const entry = { runner, idle: undefined, users: 0 }
    this.#open.set(lease.sandbox, entry)
    return entry
  }
}

/** @throws RollcallError `host-lost` when this worker is at another place: what it does not find is not gone */
export async function assertPlace(provider: Provider, expected: string): Promise<void> {
  const place = await provider.place()
  if (place === expected) return
  throw new RollcallError(
    'host-lost',
    `The sandbox is at ${provider.name} ${expected}, but this worker reaches ${place}`,
  )
}
