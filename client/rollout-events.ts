import type { Decision } from '../agents/agent.ts'
import type { JobEvent } from '../protocol/events.ts'
import type { RolloutResult } from '../protocol/grade.ts'
import type { RolloutPhase } from '../protocol/names.ts'
import { resultKey, rolloutPrefix } from '../store/keys.ts'
import type { Store } from '../store/store.ts'
import type { StoredAnswer, StoredTurnResult } from '../store/records.ts'

type WithoutEnvelope<Event> = Event extends unknown ? Omit<Event, 'version' | 'cursor' | 'job'> : never

/** An event before it gets its cursor. */
export type BareEvent = WithoutEnvelope<JobEvent>

/**
 * One rollout's events, read out of the store as its objects appear. They are only ever appended, so `read` gives the
 * same sequence from the start in any process, and the count of events is a cursor.
 */
export class RolloutEvents {
  readonly #store: Store
  readonly #job: string
  readonly #rollout: string
  readonly #seen = new Set<string>()
  #begun = false

  constructor(at: { store: Store; job: string; rollout: string }) {
    this.#store = at.store
    this.#job = at.job
    this.#rollout = at.rollout
  }

  /** What has been added since the last call. */
  async read(): Promise<BareEvent[]> {
    const prefix = rolloutPrefix(this.#job, this.#rollout)
    const listed = (await this.#store.list(prefix)).filter((key) => isEventful(key) && !this.#seen.has(key))
    const fresh = listed.toSorted((a, b) => compareMoments(momentOf(a), momentOf(b)))
    const events: BareEvent[] = []
    if (!this.#begun) events.push({ type: 'rollout', rollout: this.#rollout, state: 'started', phase: 'open' })
    this.#begun = true
    for (const key of fresh) {
      this.#seen.add(key)
      events.push(...(await this.#eventsOf(key)))
    }
    return events
  }

  async #eventsOf(key: string): Promise<BareEvent[]> {
    const bytes = await this.#store.get(key)
    if (bytes === undefined) return []
    const parsed: unknown = JSON.parse(bytes.toString())
    const turn = Number(/(\d+)\.(?:answer|result)\.json$/.exec(key)?.[1])
    if (key.endsWith('.answer.json')) return [this.#turnEvent(turn, parsed as StoredAnswer)]
    if (key === resultKey(this.#job, this.#rollout)) return this.#endEvents(parsed as RolloutResult)
    const answer = await this.#store.get(key.replace(/\.result\.json$/, '.answer.json'))
    if (answer === undefined) return []
    const { decision } = JSON.parse(answer.toString()) as StoredAnswer
    return this.#callEvents(turn, { decision, results: (parsed as StoredTurnResult).results })
  }

  #turnEvent(turn: number, { decision }: StoredAnswer): BareEvent {
    const calls = 'calls' in decision ? decision.calls.length : 0
    const message = decision.message === undefined ? {} : { message: decision.message }
    return { type: 'turn', rollout: this.#rollout, turn, calls, ...message }
  }

  #callEvents(
    turn: number,
    { decision, results }: { decision: Decision; results: StoredTurnResult['results'] },
  ): BareEvent[] {
    const calls = 'calls' in decision ? decision.calls : []
    return calls.flatMap((call, index) => {
      const result = results[index]
      return result === undefined ? [] : [{ type: 'call', rollout: this.#rollout, turn, call, result }]
    })
  }

  #endEvents({ rewards, failure, state }: RolloutResult): BareEvent[] {
    const rollout = this.#rollout
    return [
      ...(rewards === undefined ? [] : [{ type: 'grade', rollout, rewards } as const]),
      ...(failure === undefined ? [] : [{ type: 'failure', rollout, failure } as const]),
      { type: 'rollout', rollout, state },
    ]
  }
}

function isEventful(key: string): boolean {
  return /\/turns\/\d+\.(answer|result)\.json$|\/[^/]+\/result\.json$/.test(key)
}

/** Incarnation, phase and turn of a key, an answer before its result; the rollout's own result is the last of all. */
function momentOf(key: string): number[] {
  const [, incarnation, phase, turn, kind] = /\/i(\d+)\/p(\d+)\/turns\/(\d+)\.(\w+)\.json$/.exec(key) ?? []
  if (incarnation === undefined) return [Infinity]
  return [Number(incarnation), Number(phase), Number(turn), kind === 'answer' ? 0 : 1]
}

function compareMoments(a: readonly number[], b: readonly number[]): number {
  const differing = a.findIndex((part, index) => part !== b[index])
  return differing === -1 ? 0 : (a[differing] ?? 0) - (b[differing] ?? 0)
}

/** How far a rollout has come, by what it has stored. */
export interface StoredProgress {
  readonly phase: RolloutPhase
  /** The latest one that has stored anything. */
  readonly incarnation: number
  /** Turns begun in that incarnation. */
  readonly turn: number
}

/** Where a running rollout must be at least: that its tests run, nothing in the store says. */
export async function rolloutProgress(at: { store: Store; job: string; rollout: string }): Promise<StoredProgress> {
  const prefix = rolloutPrefix(at.job, at.rollout)
  const keys = (await at.store.list(prefix)).map((key) => key.slice(prefix.length))
  const incarnation = Math.max(1, ...keys.map((key) => Number(/^i(\d+)\//.exec(key)?.[1] ?? 1)))
  const latest = keys.filter((key) => key.startsWith(`i${incarnation}/`))
  const turn = latest.filter((key) => key.endsWith('.answer.json')).length
  return { phase: keys.includes('result.json') ? 'release' : phaseOf(latest), incarnation, turn }
}

function phaseOf(keysOfIncarnation: readonly string[]): RolloutPhase {
  const has = (pattern: RegExp) => keysOfIncarnation.some((key) => pattern.test(key))
  // Of a task of several steps only the latest phase tells: what was graded before was an earlier step.
  if (has(/\/prepared\.json$/)) return phaseOfSteps(keysOfIncarnation)
  if (has(/\/grade\.json$/)) return 'record'
  if (has(/\/verifier\/|\/p\d+\/(collected|opened)\.json$/)) return 'grade'
  return has(/\/opened\.json$/) ? 'turns' : 'open'
}

function phaseOfSteps(keys: readonly string[]): RolloutPhase {
  const phaseOfKey = (key: string) => Number(/\/p(\d+)\//.exec(key)?.[1] ?? 0)
  const latest = Math.max(...keys.map(phaseOfKey))
  const found = keys.filter((key) => phaseOfKey(key) === latest)
  const isGrading = found.some((key) => /\/verifier\/|\/(collected|opened)\.json$/.test(key))
  return isGrading && !found.some((key) => key.endsWith('/grade.json')) ? 'grade' : 'turns'
}
