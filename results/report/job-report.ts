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

/**
 * A job as one HTML file that needs no other: overview, plots, every rollout with its trace, grade and evidence. What
 * would make it too long to open is left out, and said; failed rollouts and those with the lowest rewards come first
 * then. Reads only the store; a function of what is stored, so making it again gives the same file.
 * @throws RollcallError `configuration-invalid` for a job that is unknown or not planned
 */
export async function jobReport(store: Store, job: string, given: Partial<ReportBounds> = {}): Promise<JobReport> {
  const bounds = { ...defaultBounds, ...given }
  const reported = await readReportedJob(store, job)
  const byInterest = [...reported.rollouts.entries()].toSorted(([, a], [, b]) => interest(a) - interest(b))
  const chosen = byInterest.slice(0, bounds.rollouts)
  const budget = new TraceBudget(chosen.length, bounds)
  const items = new Map<number, Html>()
  for (const [index, rollout] of chosen) {
    const trace = await readTrace({ store, job, rollout: rollout.name, bounds }, budget)
    items.set(index, rolloutItem(rollout, { id: anchorOf(index), trace, bounds }))
  }
  const anchors = new Map(chosen.map(([index, { name }]) => [name, anchorOf(index)]))
  const unlisted = reported.rollouts.length - chosen.length
  return {
    html: wholePage(reported, { bounds, anchors, items: inOrder(items), unlisted }),
    rollouts: reported.rollouts.length,
    unlisted,
    cutTraces: budget.cut,
    finished: reported.finished,
  }
}

function wholePage(
  reported: ReportedJob,
  at: { bounds: ReportBounds; anchors: ReadonlyMap<string, string>; items: readonly Html[]; unlisted: number },
): string {
  const agents = reported.statistics.byAgent.map(({ agent }) => agent)
  const list = rolloutList(at.items, { left: at.unlisted, agents })
  return reportPage(`${reported.job} – Rollcall`, html`${overview(reported, at.bounds, at.anchors)}${list}`)
}

function inOrder(items: ReadonlyMap<number, Html>): Html[] {
  return [...items].toSorted(([a], [b]) => a - b).map(([, item]) => item)
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
  /** Rollouts of which something was left out. */
  cut = 0
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

async function readTrace(source: TraceSource, budget: TraceBudget): Promise<Html> {
  const stored = await source.store.open(traceKey(source.job, source.rollout))
  if (stored === undefined) return html``
  if (budget.allowance < source.bounds.leastTrace) {
    stored.destroy()
    budget.cut += 1
    return leftOut(`Its trace is left out, since this file would be too long: ${placeOf(source)}`)
  }
  const { head, tail, left } = await boundedItems(stored, source, budget.allowance)
  const all = [...head, ...tail]
  budget.spend(all.reduce((sum, { markup }) => sum + markup.length, 0))
  if (left === 0) return html`${all}`
  budget.cut += 1
  const note = leftOut(`${formatCount(left)} more calls, commands and turns are left out here: ${placeOf(source)}`)
  return html`${head}${note}${tail}`
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
