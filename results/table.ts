import Table from 'cli-table3'
import { createColors } from 'picocolors'
import { failureKinds } from '../protocol/failure.ts'
import { integrityClasses } from '../protocol/grade.ts'
import { failureGroups, jobStatistics } from './job-statistics.ts'
import { rateCells, rateNames, shownKs, statisticsLines } from './statistics-table.ts'
import { formatReward, meanReward } from './summary.ts'
import { escapeControls } from './terminal-text.ts'
import type { JobSummary, SummaryRollout } from '../protocol/grade.ts'
import type { GroupStatistics, JobStatistics } from '../protocol/statistics.ts'

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
    gradesTable(summary, statistics, colors.bold),
    integrityNote(summary),
    ...statisticsLines(statistics, colors.bold),
    ...failureLines(summary, options),
  ]
  return parts.filter((part) => part !== undefined).join('\n')
}

/** What the job has to tell beside means: agents where there are several, medians and rates where attempts are. */
interface Columns {
  readonly agents: boolean
  readonly cancelled: boolean
  /** k of pass@k and pass^k; empty where no task was graded twice. */
  readonly ks: readonly number[]
}

function gradesTable(summary: JobSummary, statistics: JobStatistics, bold: (text: string) => string): string {
  const ks = shownKs(statistics.byTask)
  const columns: Columns = {
    agents: new Set(summary.rollouts.map((rollout) => rollout.agent)).size > 1,
    cancelled: summary.cancelled > 0,
    ks: ks.length > 1 ? ks : [],
  }
  const labels = ['Task', ...(columns.agents ? ['Agent'] : [])]
  const head = [...labels, ...numberNames(columns), 'Integrity'].map(bold)
  const table = new Table({
    head,
    colAligns: head.map((_, column) => (column < labels.length || column === head.length - 1 ? 'left' : 'right')),
    style: { head: [], border: [], compact: true },
  })
  const byTask = new Map(statistics.byTask.map((group) => [groupKey(group), group]))
  for (const { task, agent, rollouts } of groupRollouts(summary.rollouts)) {
    const group = byTask.get(groupKey({ task, agent }))
    table.push(
      [task, ...(columns.agents ? [agent] : [])].map(escapeControls).concat(cells({ rollouts, group, columns })),
    )
  }
  const total = cells({ rollouts: summary.rollouts, group: statistics.total, columns })
  table.push(['total', ...(columns.agents ? [''] : []), ...total].map(bold))
  return table.toString()
}

function numberNames({ cancelled, ks }: Columns): string[] {
  const states = ['Graded', 'Failed', ...(cancelled ? ['Cancelled'] : [])]
  return ['Attempts', 'Mean', ...(ks.length === 0 ? [] : ['Median', ...rateNames(ks)]), ...states]
}

function cells(at: {
  rollouts: readonly SummaryRollout[]
  group: GroupStatistics | undefined
  columns: Columns
}): string[] {
  const { rollouts, group, columns } = at
  const count = (state: SummaryRollout['state']) => String(rollouts.filter((one) => one.state === state).length)
  const classes = integrityClasses.filter((name) => rollouts.some((rollout) => rollout.integrity === name))
  const empty: Pick<GroupStatistics, 'passAtK' | 'passHatK'> = { passAtK: [], passHatK: [] }
  const spread = [formatReward(group?.median), ...rateCells(group ?? empty, columns.ks)]
  return [
    String(rollouts.length),
    formatReward(meanReward(rollouts)),
    ...(columns.ks.length === 0 ? [] : spread),
    count('graded'),
    count('failed'),
    ...(columns.cancelled ? [count('cancelled')] : []),
    classes.join(', '),
  ]
}

interface Group {
  readonly task: string
  readonly agent: string
  readonly rollouts: SummaryRollout[]
}

function groupKey({ task, agent }: { readonly task: string; readonly agent: string }): string {
  return JSON.stringify([task, agent])
}

function groupRollouts(rollouts: readonly SummaryRollout[]): Group[] {
  const groups = new Map<string, Group>()
  for (const rollout of rollouts) {
    const key = groupKey(rollout)
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
