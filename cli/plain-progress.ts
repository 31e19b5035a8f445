import { formatReward, mainReward, meanOf } from '../results/summary.ts'
import { escapeControls } from '../results/terminal-text.ts'
import type { JobEvent } from '../protocol/events.ts'
import { counted } from '../protocol/names.ts'
import { formatDuration } from './progress-view.ts'

/** Turns events into plain lines, keeping count. */
export class PlainProgress {
  readonly #details = new Map<string, string>()
  readonly #rewards: number[] = []
  #total = 0
  #ended = 0

  /** @returns undefined for an event that gets no line */
  line(event: JobEvent, elapsedMs: number): string | undefined {
    const text = this.#text(event)
    return text === undefined ? undefined : `[${formatDuration(elapsedMs)}] ${text}`
  }

  #text(event: JobEvent): string | undefined {
    if (event.type === 'job') return this.#jobText(event)
    if (event.type === 'grade') this.#noteGrade(event)
    if (event.type === 'failure') this.#details.set(event.rollout, `${event.failure.code}: ${event.failure.message}`)
    if (event.type !== 'rollout') return undefined
    return event.state === 'started' ? `${escapeControls(event.rollout)} started` : this.#endedText(event)
  }

  #jobText(event: JobEvent & { type: 'job' }): string {
    this.#total = event.total
    const job = `job ${escapeControls(event.job)} ${event.state}`
    return event.state === 'started' ? `${job}: ${counted(event.total, 'rollout')}` : job
  }

  #noteGrade(event: JobEvent & { type: 'grade' }): void {
    const reward = mainReward(event.rewards)
    if (reward === undefined) return
    this.#rewards.push(reward)
    this.#details.set(event.rollout, formatReward(reward))
  }

  /** A job that is over at the first look never says how many rollouts it has. */
  #count(): string {
    return this.#total === 0 ? String(this.#ended) : `${this.#ended}/${this.#total}`
  }

  #endedText(event: { readonly rollout: string; readonly state: string }): string {
    this.#ended += 1
    const detail = this.#details.get(event.rollout)
    this.#details.delete(event.rollout)
    const came = escapeControls(detail === undefined ? event.state : joined(event.state, detail))
    const mean = formatReward(meanOf(this.#rewards))
    return `${escapeControls(event.rollout)} ${came} (${this.#count()}, mean ${mean})`
  }
}

/** A cancelled rollout's failure says itself that it was cancelled. */
function joined(state: string, detail: string): string {
  return detail.startsWith(`${state}:`) ? detail : `${state} ${detail}`
}
