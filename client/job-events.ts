import { finalJobStates } from '../protocol/events.ts'
import type { JobEvent, JobState } from '../protocol/events.ts'
import type { PlannedRollout } from '../protocol/job.ts'
import { readPlan } from '../results/read-job.ts'
import type { Store } from '../store/store.ts'
import { Cursor } from './cursor.ts'
import { RolloutEvents } from './rollout-events.ts'
import type { BareEvent } from './rollout-events.ts'

/** What the job is doing, as the source of events needs it. */
export interface JobLook {
  readonly state: JobState
  readonly total: number
  /** Names of rollouts in flight. */
  readonly running: readonly string[]
  /** Names of rollouts that have ended since the last look. */
  readonly ended: readonly string[]
}

export interface EventSource {
  readonly job: string
  readonly store: Store
  /** @throws when the job cannot be asked just now; it is asked again */
  look(): Promise<JobLook>
  /** Resolves after a while, or as soon as the job is over. */
  wait(): Promise<void>
}

/** Everything that happens in a job, from the start or after a cursor, until it is over. */
export async function* jobEvents(source: EventSource, after: string | undefined): AsyncGenerator<JobEvent> {
  const reader = new EventReader(source, Cursor.parse(after))
  for (;;) {
    const look = await source.look()
    if (look.state !== 'planning') {
      const isOver = finalJobStates.includes(look.state)
      if (!isOver || look.state !== 'failed') yield* reader.jobEvent(isOver ? { ...look, state: 'running' } : look)
      yield* reader.rolloutEvents(isOver ? await reader.allNames() : look.running, look.ended)
      if (isOver) return yield* reader.jobEvent(look)
    }
    await source.wait()
  }
}

class EventReader {
  readonly #source: EventSource
  readonly #cursor: Cursor
  readonly #readers = new Map<string, RolloutEvents>()
  #plan: ReadonlyMap<string, number> | undefined

  constructor(source: EventSource, cursor: Cursor) {
    this.#source = source
    this.#cursor = cursor
  }

  async allNames(): Promise<readonly string[]> {
    return [...(await this.#places()).keys()]
  }

  /** The job's own state, when it is another than before. */
  *jobEvent({ state, total }: JobLook): Generator<JobEvent> {
    const shown = state === 'running' ? (this.#cursor.jobState === 'paused' ? 'resumed' : 'started') : state
    if (shown === 'planning' || shown === 'summarizing' || shown === this.#cursor.jobState) return
    if (shown === 'started' && this.#cursor.jobState !== undefined) return
    this.#cursor.jobState = shown
    yield this.#complete({ type: 'job', state: shown, total })
  }

  async *rolloutEvents(names: readonly string[], ended: readonly string[]): AsyncGenerator<JobEvent> {
    const places = await this.#places()
    for (const name of new Set([...ended, ...names])) {
      const place = places.get(name)
      if (place !== undefined && !this.#cursor.isDone(place)) yield* this.#eventsOf(name, place)
    }
  }

  async *#eventsOf(name: string, place: number): AsyncGenerator<JobEvent> {
    const { store, job } = this.#source
    const known = this.#readers.get(name)
    const reader = known ?? new RolloutEvents({ store, job, rollout: name })
    this.#readers.set(name, reader)
    const fresh = await reader.read()
    // A reader that has just been made begins at the first event; the cursor says how many are known already.
    const news = known === undefined ? fresh.slice(this.#cursor.countOf(place)) : fresh
    for (const event of news) {
      const isLast = event.type === 'rollout' && event.state !== 'started'
      if (isLast) this.#readers.delete(name)
      if (isLast) this.#cursor.finish(place)
      else this.#cursor.advance(place)
      yield this.#complete(event)
    }
  }

  #complete(event: BareEvent): JobEvent {
    return { version: 1, cursor: this.#cursor.toString(), job: this.#source.job, ...event }
  }

  async #places(): Promise<ReadonlyMap<string, number>> {
    const known = this.#plan ?? placesOf(await readPlan(this.#source.store, this.#source.job))
    if (known.size > 0) this.#plan = known
    return known
  }
}

function placesOf(plan: readonly PlannedRollout[] | undefined): ReadonlyMap<string, number> {
  return new Map((plan ?? []).map(({ name }, index) => [name, index]))
}
