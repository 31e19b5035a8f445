import { setTimeout as delay } from 'node:timers/promises'
import { providerTaskQueue, reachTaskQueue } from '../protocol/names.ts'
import type { Provider } from '../providers/contract/provider.ts'
import type { SandboxSpec } from '../providers/contract/runtime.ts'
import type { Providers } from './providers.ts'

/** A provider that cannot be used may come later: an Engine that is still starting. */
const lookAgainMs = 30_000

interface Serving {
  /** Names of those to be served. */
  readonly names: readonly string[]
  readonly providers: Providers
  /** Serves a task queue; one that is served already stays as it is. */
  readonly serve: (taskQueue: string) => Promise<void>
  /** The same, also after a restart. */
  readonly reach: (taskQueue: string) => Promise<void>
  readonly log: (line: string) => void
  readonly stop: AbortSignal
}

/** Serves the queues of every provider that can be used here, as soon as it can. Returns after the first look. */
export async function serveProviders(serving: Serving): Promise<void> {
  const waiting = await serveUsable(serving, new Map(serving.names.map((name) => [name, ''])))
  void serveLater(serving, waiting)
}

async function serveLater(serving: Serving, waiting: ReadonlyMap<string, string>): Promise<void> {
  let left = waiting
  while (left.size > 0 && !serving.stop.aborted) {
    await delay(lookAgainMs, undefined, { signal: serving.stop }).catch(() => undefined)
    if (!serving.stop.aborted) left = await serveUsable(serving, left)
  }
}

/** @returns those that cannot be used, with the reason; it is told once */
async function serveUsable(serving: Serving, waiting: ReadonlyMap<string, string>): Promise<Map<string, string>> {
  const left = new Map<string, string>()
  for (const [name, known] of waiting) {
    try {
      const provider = await serving.providers.provider(name, {})
      const place = await usablePlace(provider)
      // The place first: who is placed here must find somebody who reaches it.
      await serving.reach(reachTaskQueue(name, place))
      await serving.serve(providerTaskQueue(name))
    } catch (error) {
      const reason = error instanceof Error ? error.message : String(error)
      if (reason !== known) serving.log(`provider ${name} is not served: ${reason}`)
      left.set(name, reason)
    }
  }
  return left
}

async function usablePlace(provider: Provider): Promise<string> {
  const place = await provider.place()
  const [problem] = await provider.check(plainSpec)
  if (problem !== undefined) throw new Error(problem.expected)
  return place
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
