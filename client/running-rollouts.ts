import type { RolloutPhase } from '../protocol/names.ts'
import type { Store } from '../store/store.ts'
import type { RetriedStep } from './hindrance.ts'
import { rolloutProgress } from './rollout-events.ts'

/** The server is asked no more often than this about each rollout: a screen of them is drawn twice a second. */
const askEveryMs = 5_000

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
  readonly phase: RolloutPhase
  readonly since: number
  readonly askedAt: number
  readonly retried: RetriedStep | undefined
}

/** Where the running rollouts of a job are, as one client sees it over time. */
export class RunningRollouts {
  readonly #store: Store
  readonly #job: string
  readonly #ask: (rollout: string) => Promise<RetriedStep | undefined>
  readonly #now: () => number
  readonly #seen = new Map<string, Seen>()

  constructor(at: {
    store: Store
    job: string
    ask: (rollout: string) => Promise<RetriedStep | undefined>
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
    const { phase, turn } = await rolloutProgress({ store: this.#store, job: this.#job, rollout })
    const known = this.#seen.get(rollout)
    const seen = await this.#see(rollout, { phase, known: known?.phase === phase ? known : undefined })
    this.#seen.set(rollout, seen)
    const retried = seen.retried === undefined ? {} : { retried: seen.retried }
    return { rollout, phase, turn, sinceMs: this.#now() - seen.since, ...retried }
  }

  async #see(rollout: string, at: { phase: RolloutPhase; known: Seen | undefined }): Promise<Seen> {
    const now = this.#now()
    if (at.known !== undefined && now - at.known.askedAt < askEveryMs) return at.known
    return { phase: at.phase, since: at.known?.since ?? now, askedAt: now, retried: await this.#ask(rollout) }
  }
}
