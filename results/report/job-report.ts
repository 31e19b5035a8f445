import type { Readable } from 'node:stream'
import { traceKey } from '../../store/keys.ts'
import type { Store } from '../../store/store.ts'
import { mainReward } from '../summary.ts'
import { defaultBounds, formatCount } from './bounds.ts'
import type { ReportBounds } from './bounds.ts'
import { html } from './html.ts'
import type { Html } from './html.ts'
import { overview } from './overview.ts'
import { reportPage } from './page.ts'
import { readLines } from './read-lines.ts'
import { readReportedJob } from './read-report.ts'
import type { ReportedJob, ReportedRollout } from './read-report.ts'
import { rolloutItem, rolloutList } from './rollout-list.ts'
import { traceItems } from './trace-items.ts'
import { leftOut, placeOf, traceItem } from './trace-view.ts'
import type { TraceSource } from './trace-view.ts'

export interface JobReport {
  /** The whole file. */
  readonly html: string
  readonly rollouts: number
  /** Rollouts that are not in the list, since it would be too long. */
  readonly unlisted: number
  /** Listed rollouts whose trace is not there or not whole. */
  readonly cutTraces: number
  readonly finished: boolean
}

export interface ReportOptions {
  readonly bounds?: Partial<ReportBounds>
  /** The reward from which a rollout counts as passed. Default 1. */
  readonly passReward?: number | undefined
}

/**
 * A job as one HTML file that needs no other: overview, plots, every rollout with its trace, grade and evidence. What
 * would make it too long to open is left out, and said; failed rollouts and those with the lowest rewards come first
 * then. Reads only the store; a function of what is stored, so making it again gives the same file.
 * @throws RollcallError `configuration-invalid` for a job that is unknown or not planned
 */
export async function jobReport(store: Store, job: string, options: ReportOptions = {}): Promise<JobReport> {
  const bounds = { ...defaultBounds, ...options.bounds }
  const reported = await readReportedJob(store, job, options)
  const byInterest = [...reported.rollouts.entries()].toSorted(([, a], [, b]) => interest(a) - interest(b))
  const chosen = byInterest.slice(0, bounds.rollouts)
  const { items, cut } = await readItems(chosen, { store, job, bounds })
  const anchors = new Map(chosen.map(([index, { name }]) => [name, anchorOf(index)]))
  const unlisted = reported.rollouts.length - chosen.length
  return {
    html: wholePage(reported, { bounds, anchors, items, unlisted }),
    rollouts: reported.rollouts.length,
    unlisted,
    cutTraces: cut,
    finished: reported.finished,
  }
}

type Indexed = readonly [index: number, rollout: ReportedRollout]

/** Read at the same time, to hide the latency of S3. They share the room evenly, so that nothing depends on who is first. */
const readTogether = 8

/** The rollouts of the list, in the job's order. */
async function readItems(chosen: readonly Indexed[], source: Omit<TraceSource, 'rollout'>) {
  const budget = new TraceBudget(chosen.length, source.bounds)
  const items: (readonly [number, Html])[] = []
  let cut = 0
  for (let from = 0; from < chosen.length; from += readTogether) {
    const some = chosen.slice(from, from + readTogether)
    const { allowance } = budget
    const traces = await Promise.all(some.map(([, { name }]) => readTrace({ ...source, rollout: name }, allowance)))
    for (const [at, [index, rollout]] of some.entries()) {
      const { content = html``, isCut = false } = traces[at] ?? {}
      budget.spend(content.markup.length)
      if (isCut) cut += 1
      items.push([index, rolloutItem(rollout, { id: anchorOf(index), trace: content, bounds: source.bounds })])
    }
  }
  return { items: items.toSorted(([a], [b]) => a - b).map(([, item]) => item), cut }
}

function wholePage(
  reported: ReportedJob,
  at: { bounds: ReportBounds; anchors: ReadonlyMap<string, string>; items: readonly Html[]; unlisted: number },
): string {
  const agents = reported.statistics.byAgent.map(({ agent }) => agent)
  const list = rolloutList(at.items, { left: at.unlisted, agents })
  return reportPage(`${reported.job} – Rollcall`, html`${overview(reported, at.bounds, at.anchors)}${list}`)
}

function anchorOf(index: number): string {
  return `r${index + 1}`
}

/** Failed before graded, low rewards before high ones, and last those that never ran. */
function interest({ summary }: ReportedRollout): number {
  if (summary.state === 'failed') return -Infinity
  if (summary.state === 'cancelled') return Infinity
  return (summary.rewards && mainReward(summary.rewards)) ?? 0
}

/** Shares the room for traces out, one rollout after another. */
class TraceBudget {
  #left: number
  readonly #share: number

  constructor(rollouts: number, bounds: ReportBounds) {
    this.#left = bounds.traces
    const fair = Math.floor(bounds.traces / Math.max(1, rollouts))
    this.#share = Math.min(bounds.trace, Math.max(bounds.leastTrace, fair))
  }

  get allowance(): number {
    return Math.min(this.#share, this.#left)
  }

  spend(characters: number): void {
    this.#left = Math.max(0, this.#left - characters)
  }
}

async function readTrace(source: TraceSource, allowance: number): Promise<{ content: Html; isCut: boolean }> {
  const stored = await source.store.open(traceKey(source.job, source.rollout))
  if (stored === undefined) return { content: html``, isCut: false }
  if (allowance < source.bounds.leastTrace) {
    stored.destroy()
    const note = leftOut(`Its trace is left out, since this file would be too long: ${placeOf(source)}`)
    return { content: note, isCut: true }
  }
  const { head, tail, left } = await boundedItems(stored, source, allowance)
  if (left === 0) return { content: html`${head}${tail}`, isCut: false }
  const note = leftOut(`${formatCount(left)} more calls, commands and turns are left out here: ${placeOf(source)}`)
  return { content: html`${head}${note}${tail}`, isCut: true }
}

/** Beginning and end of a trace, each within half of the allowance. The end is where the grade is. */
async function boundedItems(stored: Readable, source: TraceSource, allowance: number) {
  const head: Html[] = []
  const tail: Html[] = []
  let [headRoom, tailRoom, left] = [allowance / 2, allowance / 2, 0]
  for await (const item of traceItems(readLines(stored))) {
    const shown = await traceItem(item, source)
    const size = shown.markup.length
    if (tail.length === 0 && left === 0 && size <= headRoom) {
      head.push(shown)
      headRoom -= size
      continue
    }
    tail.push(shown)
    tailRoom -= size
    for (let first = tail[0]; tailRoom < 0 && first !== undefined; first = tail[0]) {
      tail.shift()
      tailRoom += first.markup.length
      left += 1
    }
  }
  return { head, tail, left }
}
