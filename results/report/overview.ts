import { failureKinds } from '../../protocol/failure.ts'
import { integrityClasses } from '../../protocol/grade.ts'
import type { FailureGroup, GroupStatistics, PassRate } from '../../protocol/statistics.ts'
import { formatMs } from '../statistics-table.ts'
import { formatReward } from '../summary.ts'
import { formatCount } from './bounds.ts'
import type { ReportBounds } from './bounds.ts'
import { html, when } from './html.ts'
import type { Html } from './html.ts'
import { jobPlots } from './job-plots.ts'
import type { ReportedJob } from './read-report.ts'
import { leftOut } from './trace-view.ts'

/** Everything above the list of rollouts. `anchors`: ids of the rollouts that are in the list, by name. */
export function overview(reported: ReportedJob, bounds: ReportBounds, anchors: ReadonlyMap<string, string>): Html {
  const { statistics } = reported
  const { total, byAgent, byTask, byTag, failures } = statistics
  const agents = byAgent.map((group) => ({ labels: [group.agent], group }))
  const tasks = byTask.map((group) => ({ labels: [group.task, group.agent], group }))
  const tags = byTag.map((group) => ({ labels: [group.tag, group.agent], group }))
  return html`${heading(reported)}${tiles(total)}
<section><h2>By agent</h2>${groupTable(['Agent'], [...agents, { labels: ['all'], group: total }], bounds)}
<p class="note">95 %: confidence interval of the mean, clustered by task. Passed: a reward of at least ${statistics.passReward}.</p></section>
${when(failures.length > 0, () => failureTable(failures, anchors))}
<section class="plots">${jobPlots(reported, bounds)}</section>
<section><h2>By task</h2>${groupTable(['Task', 'Agent'], tasks, bounds)}</section>
${when(tags.length > 0, () => html`<section><h2>By tag</h2><details><summary>${tags.length} rows</summary>${groupTable(['Tag', 'Agent'], tags, bounds)}</details></section>`)}
<section class="pair"><div><h2>Integrity</h2>${integrityTable(total)}</div><div><h2>Time by phase</h2>${timeTable([...agents, { labels: ['all'], group: total }])}</div></section>
${when(total.usage, () => html`<section><h2>Tokens</h2>${usageTable([...agents, { labels: ['all'], group: total }])}</section>`)}`
}

interface Row {
  readonly labels: readonly string[]
  readonly group: GroupStatistics
}

function heading({ job, options, finished, summary, rollouts }: ReportedJob): Html {
  const times = rollouts.flatMap(({ result }) => (result === undefined ? [] : [result.startedAt, result.finishedAt]))
  const [first, last] = [times.toSorted()[0], times.toSorted().at(-1)]
  return html`<header><h1>${job}</h1><p>Taskset <b>${options.taskset}</b>, ${options.tasks.length} tasks, provider <b>${options.provider.name}</b>,
${options.attempts} ${options.attempts === 1 ? 'attempt' : 'attempts'} each${when(summary.parentJob, () => html`, again out of job <b>${summary.parentJob}</b>`)}.
${when(first, () => html`From <time>${first}</time> to <time>${last}</time>.`)}</p>
${when(!finished, () => html`<p class="bad">The job has not ended: these are the ${rollouts.length} rollouts that have ended so far.</p>`)}</header>`
}

function tiles(total: GroupStatistics): Html {
  const { interval, usage, timeMs } = total
  const cost = usage?.costUsd
  return html`<section class="tiles">
${tile('Mean reward', formatReward(total.mean), interval === undefined ? undefined : `95 %: ${formatReward(interval.low)} … ${formatReward(interval.high)}`)}
${tile('Passed', `${total.passed}/${total.graded}`, 'of the graded rollouts')}
${tile('Graded', String(total.graded), `of ${total.rollouts} rollouts`)}
${tile('Failed', String(total.failed), 'no reward, not in the mean')}
${when(total.cancelled > 0, () => tile('Cancelled', String(total.cancelled)))}
${when(timeMs.total, () => tile('Time', formatMs(timeMs.total ?? 0), 'summed over rollouts'))}
${when(usage?.inputTokens ?? usage?.outputTokens, () => tile('Tokens', formatCount((usage?.inputTokens ?? 0) + (usage?.outputTokens ?? 0)), cost === undefined ? undefined : `${cost.toFixed(2)} USD`))}
</section>`
}

function tile(label: string, value: string, note?: string): Html {
  return html`<div class="tile"><span>${label}</span><strong>${value}</strong><small>${note}</small></div>`
}

function groupTable(labels: readonly string[], rows: readonly Row[], bounds: ReportBounds): Html {
  const ks = shownKs(rows)
  const rates = ks.flatMap((k) => [`pass@${k}`, ...(k === 1 ? [] : [`pass^${k}`])])
  const numbers = ['Rollouts', 'Mean', '95 %', 'Median', 'Passed', 'Failed', ...rates]
  return html`<div class="wide"><table><thead><tr>${labels.map((label) => html`<th>${label}</th>`)}${numbers.map((label) => html`<th class="number">${label}</th>`)}</tr></thead>
<tbody>${rows.slice(0, bounds.rows).map((row) => groupRow(row, ks))}</tbody></table></div>
${when(rows.length > bounds.rows, () => leftOut(`${rows.length - bounds.rows} more rows are in summary.json.`))}`
}

function groupRow({ labels, group }: Row, ks: readonly number[]): Html {
  const { interval } = group
  const cells = [
    String(group.rollouts),
    formatReward(group.mean),
    interval === undefined ? '–' : `${formatReward(interval.low)} … ${formatReward(interval.high)}`,
    formatReward(group.median),
    `${group.passed}/${group.graded}`,
    String(group.failed),
    ...ks.flatMap((k) => [rate(group.passAtK, k), ...(k === 1 ? [] : [rate(group.passHatK, k)])]),
  ]
  return html`<tr>${labels.map((label) => html`<th>${label}</th>`)}${cells.map((cell) => html`<td class="number">${cell}</td>`)}</tr>`
}

/** 1 and the largest: all of them are in the plot and in summary.json. */
function shownKs(rows: readonly Row[]): number[] {
  const most = rows.flatMap(({ group }) => group.passAtK.map(({ k }) => k)).reduce((max, k) => Math.max(max, k), 0)
  return most > 1 ? [1, most] : []
}

function rate(rates: readonly PassRate[], wanted: number): string {
  return formatReward(rates.find(({ k }) => k === wanted)?.value)
}

/** Rollouts of a failure that are named. */
const mostNamed = 10

function failureTable(failures: readonly FailureGroup[], anchors: ReadonlyMap<string, string>): Html {
  return html`<section><h2>Failures</h2><div class="wide"><table><thead><tr><th>Code</th><th class="number">Rollouts</th><th>Who must act</th><th>Meaning</th><th>Which</th></tr></thead>
<tbody>${failures.map(({ code, actor, count, rollouts }) => {
    const more = count - mostNamed
    const named = rollouts.slice(0, mostNamed).map((name) => html`${link(name, anchors)} `)
    return html`<tr><th>${code}</th><td class="number">${count}</td><td>${actor}</td><td>${failureKinds[code].meaning}</td><td>${named}${more > 0 ? `and ${more} more` : ''}</td></tr>`
  })}</tbody></table></div></section>`
}

function link(name: string, anchors: ReadonlyMap<string, string>): Html {
  const anchor = anchors.get(name)
  return anchor === undefined ? html`${name}` : html`<a href="#${anchor}">${name}</a>`
}

const integrityMeanings = {
  separate: 'the verifier ran elsewhere: cannot be forged from the agent’s sandbox',
  'non-root': 'the agent could not write outside its own files',
  clean: 'no process of the agent ran during the tests, but root may have replaced programs',
  live: 'processes of a root agent were running while tests ran in the same sandbox',
} as const

function integrityTable({ integrity }: GroupStatistics): Html {
  return html`<table><thead><tr><th>Class</th><th class="number">Rollouts</th><th>Means</th></tr></thead>
<tbody>${integrityClasses.map((name) => html`<tr><th>${name}</th><td class="number">${integrity[name] ?? 0}</td><td>${integrityMeanings[name]}</td></tr>`)}</tbody></table>`
}

const phases = ['open', 'turns', 'grade', 'total'] as const

function timeTable(rows: readonly Row[]): Html {
  return html`<table><thead><tr><th></th>${phases.map((phase) => html`<th class="number">${phase}</th>`)}</tr></thead>
<tbody>${rows.map(({ labels, group }) => html`<tr><th>${labels.join(' ')}</th>${phases.map((phase) => html`<td class="number">${ms(group.timeMs[phase])}</td>`)}</tr>`)}</tbody></table>`
}

function ms(value: number | undefined): string {
  return value === undefined ? '–' : formatMs(value)
}

function usageTable(rows: readonly Row[]): Html {
  const heads = ['Input', 'of them cached', 'Output', 'USD', 'Lost requests', 'Rollouts that reported']
  return html`<div class="wide"><table><thead><tr><th></th>${heads.map((head) => html`<th class="number">${head}</th>`)}</tr></thead>
<tbody>${rows.map(({ labels, group: { usage } }) => {
    const counts = [usage?.inputTokens, usage?.cachedInputTokens, usage?.outputTokens]
    const cells = [...counts.map(orDash), usage?.costUsd?.toFixed(2) ?? '–', orDash(usage?.unrecordedCalls), orDash(usage?.rollouts)]
    return html`<tr><th>${labels.join(' ')}</th>${cells.map((cell) => html`<td class="number">${cell}</td>`)}</tr>`
  })}</tbody></table></div>`
}

function orDash(count: number | undefined): string {
  return count === undefined ? '–' : formatCount(count)
}
