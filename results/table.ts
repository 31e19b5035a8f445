import Table from 'cli-table3'
import { createColors } from 'picocolors'
import { failureKinds } from '../protocol/failure.ts'
import { integrityClasses } from '../protocol/grade.ts'
import { failureGroups, jobStatistics } from './job-statistics.ts'
import { statisticsLines } from './statistics-table.ts'
import { formatReward, meanReward } from './summary.ts'
import { escapeControls } from './terminal-text.ts'
import type { JobSummary, SummaryRollout } from '../protocol/grade.ts'

export interface TableOptions {
  /** ANSI colours. Default false. */
  readonly color?: boolean
  /** How many failed rollouts are listed one by one. Default 20. */
  readonly maxFailures?: number
}

/** The printed table of grades: per task (and agent, where there are several) and total; failed rollouts apart. */
export function formatJobTable(summary: JobSummary, options: TableOptions = {}): string {
  const colors = createColors(options.color ?? false)
  const statistics = summary.statistics ?? jobStatistics(summary.rollouts)
  const parts = [
    gradesTable(summary, colors.bold),
    integrityNote(summary),
    ...statisticsLines(statistics, colors.bold),
    ...failureLines(summary, options),
  ]
  return parts.filter((part) => part !== undefined).join('\n')
}

function gradesTable(summary: JobSummary, bold: (text: string) => string): string {
  const severalAgents = new Set(summary.rollouts.map((rollout) => rollout.agent)).size > 1
  const withCancelled = summary.cancelled > 0
  const counts = ['Attempts', 'Mean', 'Graded', 'Failed', ...(withCancelled ? ['Cancelled'] : [])]
  const head = ['Task', ...(severalAgents ? ['Agent'] : []), ...counts, 'Integrity'].map(bold)
  const labels = severalAgents ? 2 : 1
  const table = new Table({
    head,
    colAligns: head.map((_, column) => (column < labels || column === head.length - 1 ? 'left' : 'right')),
    style: { head: [], border: [], compact: true },
  })
  for (const group of groupRollouts(summary.rollouts)) {
    const agent = severalAgents ? [escapeControls(group.agent)] : []
    table.push([escapeControls(group.task), ...agent, ...cells(group.rollouts, withCancelled)])
  }
  const total = [...(severalAgents ? ['total', ''] : ['total']), ...cells(summary.rollouts, withCancelled)]
  table.push(total.map(bold))
  return table.toString()
}

function cells(rollouts: readonly SummaryRollout[], withCancelled: boolean): string[] {
  const count = (state: SummaryRollout['state']) => String(rollouts.filter((one) => one.state === state).length)
  const classes = integrityClasses.filter((name) => rollouts.some((rollout) => rollout.integrity === name))
  return [
    String(rollouts.length),
    formatReward(meanReward(rollouts)),
    count('graded'),
    count('failed'),
    ...(withCancelled ? [count('cancelled')] : []),
    classes.join(', '),
  ]
}

interface Group {
  readonly task: string
  readonly agent: string
  readonly rollouts: SummaryRollout[]
}

function groupRollouts(rollouts: readonly SummaryRollout[]): Group[] {
  const groups = new Map<string, Group>()
  for (const rollout of rollouts) {
    const key = JSON.stringify([rollout.task, rollout.agent])
    const group = groups.get(key) ?? { task: rollout.task, agent: rollout.agent, rollouts: [] }
    group.rollouts.push(rollout)
    groups.set(key, group)
  }
  return [...groups.values()]
}

function integrityNote(summary: JobSummary): string | undefined {
  if (!summary.rollouts.some((rollout) => rollout.integrity)) return undefined
  return `Mean: over graded rollouts. Integrity: how hard a grade was to forge (${integrityClasses.join(' > ')}).`
}

function failureLines(summary: JobSummary, options: TableOptions): string[] {
  const failed = summary.rollouts.filter((rollout) => rollout.state === 'failed')
  if (failed.length === 0) return []
  const { bold } = createColors(options.color ?? false)
  const listed = failed.slice(0, options.maxFailures ?? 20)
  const more = failed.length - listed.length
  const rest = more > 0 ? [`  … and ${more} more: rollcall results ${escapeControls(summary.job)} --json`] : []
  const title = `${failed.length} failed ${failed.length === 1 ? 'rollout has' : 'rollouts have'} no reward:`
  const groups = failureGroups(summary.rollouts)
  const counts = groups.map(({ code, actor, count }) => `  ${count} × ${code} (${actor} must act)`)
  return ['', bold(title), ...(groups.length > 1 ? counts : []), ...listed.map(failureLine), ...rest]
}

function failureLine(rollout: SummaryRollout): string {
  const name = escapeControls(`${rollout.task}.${rollout.agent}.${rollout.attempt}`)
  if (!rollout.failure) return `  ${name}`
  const { code, message } = rollout.failure
  return `  ${name}: ${code} (who must act: ${failureKinds[code].actor}): ${escapeControls(message)}`
}
