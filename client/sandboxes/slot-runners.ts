import { RollcallError } from '../../protocol/failure.ts'
import type { SlotLease } from '../../protocol/pool.ts'
import type { FoundSandbox, Provider } from '../../providers/contract/provider.ts'
import { openRunner } from '../../runner/open-runner.ts'
import type { Runner } from '../../runner/runner.ts'

/** Every provider that this process can have; handed in by the package's entry point, since the client imports none. */
export interface HandedProviders {
  provider(name: string, options: Readonly<Record<string, string>>): Promise<Provider>
  /** Lets go of connections; touches no sandbox. */
  close(): Promise<void>
}

/** A sandbox in which nothing answers any longer than this is lost. */
const silenceMs = 30_000

const endings: Readonly<Record<NonNullable<FoundSandbox['reason']>, string>> = {
  oom: 'it ran out of memory',
  lifetime: 'its lifetime is over',
  exited: 'its main process has ended',
  unknown: 'somebody has ended or removed it',
}

interface Attachment {
  readonly runner: Promise<Runner>
  users: number
}

/** One attachment for each sandbox that this client has slots in: all its slots share it. */
export class SlotRunners {
  readonly #providers: HandedProviders
  readonly #open = new Map<string, Attachment>()

  constructor(providers: HandedProviders) {
    this.#providers = providers
  }

  /**
   * @returns the runner, and what lets go of it: the last who does ends the attachment, and nothing in the sandbox
   * @throws RollcallError `host-lost` when the sandbox is at a place that this process does not reach
   */
  async take(lease: SlotLease): Promise<{ runner: Runner; letGo: () => void }> {
    const known = this.#open.get(lease.sandbox) ?? { runner: this.#attach(lease), users: 0 }
    this.#open.set(lease.sandbox, known)
    known.users += 1
    let isHeld = true
    const letGo = (): void => {
      if (isHeld) this.#letGo(lease.sandbox, known)
      isHeld = false
    }
    try {
      return { runner: await known.runner, letGo }
    } catch (error) {
      letGo()
      throw error
    }
  }

  close(): void {
    for (const { runner } of this.#open.values()) void runner.then((open) => open.close()).catch(() => undefined)
    this.#open.clear()
  }

  #letGo(sandbox: string, attachment: Attachment): void {
    attachment.users -= 1
    if (attachment.users > 0) return
    if (this.#open.get(sandbox) === attachment) this.#open.delete(sandbox)
    void attachment.runner.then((runner) => runner.close()).catch(() => undefined)
  }

  /**
   * An attachment of one's own, for streams: on a shared one everybody else would wait until its reader has taken all.
   * Whoever opens it closes it. @throws as `take`
   */
  async open(lease: SlotLease): Promise<Runner> {
    return await this.#attach(lease)
  }

  async #attach({ provider: settings, place, sandbox }: SlotLease): Promise<Runner> {
    const provider = await this.#providers.provider(settings.name, settings.options)
    const reached = await provider.place()
    if (reached !== place) {
      throw new RollcallError(
        'host-lost',
        `The slot is at ${settings.name} ${place}, and this process reaches ${reached}: use it from that host, or set ` +
          'the provider’s options so that both name one place',
      )
    }
    return openRunner({
      connect: () => provider.connect(sandbox),
      isAlive: async () => {
        const found = await provider.find(sandbox)
        if (found?.state === 'running') return { alive: true }
        const reason = found === undefined ? 'it no longer exists' : endings[found.reason ?? 'unknown']
        return { alive: false, reason }
      },
      silenceMs,
    })
  }
}
