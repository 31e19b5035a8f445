import { setTimeout as delay } from 'node:timers/promises'
import { providerTaskQueue } from '../protocol/names.ts'
import type { Provider } from '../providers/contract/provider.ts'
import type { SandboxSpec } from '../providers/contract/runtime.ts'
import { providersHere } from './providers.ts'
import type { Providers } from './providers.ts'
import type { ProviderSettings } from './reached-providers.ts'

/** A provider that cannot be used may come later: an Engine that is still starting. */
const lookAgainMs = 30_000

interface Serving {
  /** Names of those to be served, with their default settings. */
  readonly names: readonly string[]
  /** Those at whose places rollouts have been placed before. */
  readonly reached: readonly ProviderSettings[]
  readonly providers: Providers
  /** Serves a task queue; one that is served already stays as it is. */
  readonly serve: (taskQueue: string) => Promise<void>
  /** Serves the reach queue of a provider's place, now and after a restart. */
  readonly reach: (settings: ProviderSettings) => Promise<unknown>
  readonly log: (line: string) => void
  readonly stop: AbortSignal
}

/** What is to be served, and why it could not be yet. */
interface Waiting extends ProviderSettings {
  /** Whether new rollouts may be placed here; else those that are here are served. */
  readonly takesMore: boolean
  readonly reason?: string
}

/** Serves the queues of every provider that can be used here, as soon as it can. Returns after the first look. */
export async function serveProviders(serving: Serving): Promise<void> {
  const asked = serving.names.map((name) => ({ name, options: {}, takesMore: true }))
  const reached = serving.reached.map((settings) => ({ ...settings, takesMore: false }))
  void serveLater(serving, await serveUsable(serving, [...reached, ...asked]))
}

async function serveLater(serving: Serving, waiting: readonly Waiting[]): Promise<void> {
  let left = waiting
  while (left.length > 0 && !serving.stop.aborted) {
    await delay(lookAgainMs, undefined, { signal: serving.stop }).catch(() => undefined)
    if (!serving.stop.aborted) left = await serveUsable(serving, left)
  }
}

/** @returns those that cannot be used, with the reason; it is told once */
async function serveUsable(serving: Serving, waiting: readonly Waiting[]): Promise<Waiting[]> {
  const left: Waiting[] = []
  for (const entry of waiting) {
    try {
      await serveOne(serving, entry)
    } catch (error) {
      const reason = error instanceof Error ? error.message : String(error)
      if (reason !== entry.reason) serving.log(`provider ${entry.name} is not served: ${reason}`)
      left.push({ ...entry, reason })
    }
  }
  return left
}

async function serveOne(serving: Serving, { name, options, takesMore }: Waiting): Promise<void> {
  // It is where each job says, which the job's own check looks at.
  if (takesMore && !providersHere.includes(name)) return await serving.serve(providerTaskQueue(name))
  if (takesMore) await assertUsable(await serving.providers.provider(name, options))
  // The place first: who is placed here must find somebody who reaches it.
  await serving.reach({ name, options })
  if (takesMore) await serving.serve(providerTaskQueue(name))
}

async function assertUsable(provider: Provider): Promise<void> {
  await provider.place()
  const [problem] = await provider.check(plainSpec)
  if (problem !== undefined) throw new Error(problem.expected)
}

/** A sandbox that asks for nothing. */
const plainSpec: SandboxSpec = {
  image: { type: 'default' },
  imageMap: {},
  resources: {},
  limits: { acquireTimeoutMs: 60_000, startTimeoutMs: 60_000, execTimeoutMs: 60_000, lifetimeMs: 60_000 },
  network: { mode: 'none' },
  networkAsked: false,
  env: {},
  secrets: [],
  mounts: [],
}
