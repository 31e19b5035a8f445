import type { RolloutPhase } from '../protocol/names.ts'
import type { Store } from '../store/store.ts'
import type { RetriedStep, RunningStep } from './hindrance.ts'
import { rolloutProgress } from './rollout-events.ts'
import type { StoredProgress } from './rollout-events.ts'

/** The server is asked no more often than this about each rollout: a screen of them is drawn twice a second. */
const askEveryMs = 5_000

/** A rollout that runs, and how far it is. */
export interface RunningRollout {
  readonly rollout: string
  readonly phase: RolloutPhase
  /** Turns begun so far. */
  readonly turn: number
  /** How long this client has seen it in this phase. */
  readonly sinceMs: number
  /** Its step has failed and is tried again: absent while all goes well. */
  readonly retried?: RetriedStep
}

interface Seen {
  /** What the store said when the server was asked. */
  readonly stored: StoredProgress
  readonly askedAt: number
  readonly step: RunningStep | undefined
  readonly phase: RolloutPhase
  readonly since: number
}

/**
 * Where the running rollouts of a job are, as one client sees it over time. The server knows the step that runs; the store
 * tells at once when another one must have begun, and what the server is not asked.
 */
export class RunningRollouts {
  readonly #store: Store
  readonly #job: string
  readonly #ask: (rollout: string) => Promise<RunningStep | undefined>
  readonly #now: () => number
  readonly #seen = new Map<string, Seen>()

  constructor(at: {
    store: Store
    job: string
    ask: (rollout: string) => Promise<RunningStep | undefined>
    now?: () => number
  }) {
    this.#store = at.store
    this.#job = at.job
    this.#ask = at.ask
    this.#now = at.now ?? Date.now
  }

  /** @param names of rollouts that run */
  async look(names: readonly string[]): Promise<RunningRollout[]> {
    return await Promise.all(names.map((rollout) => this.#lookAt(rollout)))
  }

  async #lookAt(rollout: string): Promise<RunningRollout> {
    const stored = await rolloutProgress({ store: this.#store, job: this.#job, rollout })
    const seen = await this.#see(rollout, stored)
    this.#seen.set(rollout, seen)
    const retried = seen.step?.retried === undefined ? {} : { retried: seen.step.retried }
    return { rollout, phase: seen.phase, turn: stored.turn, sinceMs: this.#now() - seen.since, ...retried }
  }

  async #see(rollout: string, stored: StoredProgress): Promise<Seen> {
    const now = this.#now()
    const known = this.#seen.get(rollout)
    if (known !== undefined && isSamePart(known.stored, stored) && now - known.askedAt < askEveryMs) return known
    const step = await this.#ask(rollout)
    const phase = step?.phase ?? stored.phase
    return { stored, askedAt: now, step, phase, since: known?.phase === phase ? known.since : now }
  }
}

function isSamePart(one: StoredProgress, other: StoredProgress): boolean {
  return one.phase === other.phase && one.incarnation === other.incarnation
}
