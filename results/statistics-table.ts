import Table from 'cli-table3'
import type { GroupStatistics, JobStatistics, PassRate, UsageTotals } from '../protocol/statistics.ts'
import { formatReward } from './summary.ts'
import { escapeControls } from './terminal-text.ts'

type Bold = (text: string) => string

/** Below the table of tasks: agents and total, tags, time and tokens. */
export function statisticsLines(statistics: JobStatistics, bold: Bold): string[] {
  const { total, byAgent, byTask, byTag, passReward } = statistics
  const agents = byAgent.map((group) => [group.agent, group] as const)
  const several = agents.length > 1
  const tags = byTag.map((group) => [several ? `${group.tag} (${group.agent})` : group.tag, group] as const)
  if (total.graded === 0) return [...timeLines(total), ...usageLines(total.usage)]
  return [
    '',
    groupTable('Agent', [...agents, ...(several ? [['total', total] as const] : [])], bold),
    ...(byTask.length > 1 ? tagsTable(tags, bold) : []),
    `95 %: confidence interval of the mean, clustered by task. Passed: reward of at least ${passReward}.`,
    ...timeLines(total),
    ...usageLines(total.usage),
  ]
}

/** More rows than this are for summary.json: free-form tags can be as many as tasks. */
const mostTags = 24

function tagsTable(tags: readonly (readonly [string, GroupStatistics])[], bold: Bold): string[] {
  if (tags.length === 0) return []
  const more = tags.length - mostTags
  return [
    groupTable('Tag', tags.slice(0, mostTags), bold),
    ...(more > 0 ? [`… and ${more} more rows by tag: rollcall results JOB --json`] : []),
  ]
}

function groupTable(label: string, rows: readonly (readonly [string, GroupStatistics])[], bold: Bold): string {
  const ks = shownKs(rows.map(([, group]) => group))
  const head = [label, 'Tasks', 'Mean', '95 %', 'Median', 'Passed', ...rateNames(ks)].map(bold)
  const table = new Table({
    head,
    colAligns: head.map((_, column) => (column === 0 ? 'left' : 'right')),
    style: { head: [], border: [], compact: true },
  })
  for (const [name, group] of rows) table.push([escapeControls(name), ...cells(group, ks)])
  return table.toString()
}

function cells(group: GroupStatistics, ks: readonly number[]): string[] {
  const { interval } = group
  return [
    String(group.tasks),
    formatReward(group.mean),
    interval === undefined ? '–' : `${formatReward(interval.low)} … ${formatReward(interval.high)}`,
    formatReward(group.median),
    `${group.passed}/${group.graded}`,
    ...rateCells(group, ks),
  ]
}

/** Columns of pass@k and pass^k, which are the same for k = 1. */
export function rateNames(ks: readonly number[]): string[] {
  return ks.flatMap((k) => [`pass@${k}`, ...(k === 1 ? [] : [`pass^${k}`])])
}

export function rateCells(
  { passAtK, passHatK }: Pick<GroupStatistics, 'passAtK' | 'passHatK'>,
  ks: readonly number[],
): string[] {
  return ks.flatMap((k) => [rateOf(passAtK, k), ...(k === 1 ? [] : [rateOf(passHatK, k)])])
}

function rateOf(rates: readonly PassRate[], wanted: number): string {
  return formatReward(rates.find(({ k }) => k === wanted)?.value)
}

/** Powers of two and the largest: summary.json has them all. */
export function shownKs(groups: readonly GroupStatistics[]): number[] {
  const most = groups.flatMap(({ passAtK }) => passAtK).reduce((max, { k }) => Math.max(max, k), 0)
  const powers = [1, 2, 4, 8, 16, 32, 64, 128, 256, 512].filter((k) => k < most)
  return most === 0 ? [] : [...powers, most]
}

function timeLines({ timeMs }: GroupStatistics): string[] {
  const phases = (['open', 'turns', 'grade', 'total'] as const).flatMap((phase) => {
    const ms = timeMs[phase]
    return ms === undefined ? [] : [`${phase} ${formatMs(ms)}`]
  })
  return phases.length === 0 ? [] : [`Time, summed over rollouts: ${phases.join(', ')}`]
}

function usageLines(usage: UsageTotals | undefined): string[] {
  if (usage === undefined) return []
  const { inputTokens, cachedInputTokens, outputTokens, costUsd } = usage
  const tokens = [
    ...(inputTokens === undefined ? [] : [`${inputTokens} input`]),
    ...(cachedInputTokens === undefined ? [] : [`${cachedInputTokens} of them cached`]),
    ...(outputTokens === undefined ? [] : [`${outputTokens} output`]),
  ]
  const cost = costUsd === undefined ? [] : [`Cost: ${costUsd.toFixed(2)} USD`]
  return [...(tokens.length === 0 ? [] : [`Tokens: ${tokens.join(', ')}`]), ...cost]
}

/** `0.4 s`, `5:07`, `1:02:33`. */
export function formatMs(ms: number): string {
  const seconds = Math.round(ms / 1000)
  if (seconds < 60) return `${(ms / 1000).toFixed(1)} s`
  const padded = (value: number) => String(value).padStart(2, '0')
  const [hours, minutes] = [Math.floor(seconds / 3600), Math.floor(seconds / 60) % 60]
  return `${hours === 0 ? minutes : `${hours}:${padded(minutes)}`}:${padded(seconds % 60)}`
}
