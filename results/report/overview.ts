import type { GroupStatistics } from '../../protocol/statistics.ts'
import { formatMs } from '../statistics-table.ts'
import { formatReward } from '../summary.ts'
import type { ReportBounds } from './bounds.ts'
import { html, when } from './html.ts'
import type { Html } from './html.ts'
import { jobPlots } from './job-plots.ts'
import { failureTable, groupTable, integrityTable, timeTable, usageTable } from './overview-tables.ts'
import type { ReportedJob } from './read-report.ts'

/** Everything above the list of rollouts. `anchors`: ids of the rollouts that are in the list, by name. */
export function overview(reported: ReportedJob, bounds: ReportBounds, anchors: ReadonlyMap<string, string>): Html {
  const { statistics } = reported
  const { total, byAgent, byTask, byTag, failures } = statistics
  const agents = byAgent.map((group) => ({ labels: [group.agent], group }))
  const tasks = byTask.map((group) => ({ labels: [group.task, group.agent], group }))
  const tags = byTag.map((group) => ({ labels: [group.tag, group.agent], group }))
  return html`${heading(reported)}${tiles(total)}
    <section>
      <h2>By agent</h2>
      ${groupTable(['Agent'], [...agents, { labels: ['all'], group: total }], bounds)}
      <p class="note">
        95 %: confidence interval of the mean, clustered by task. Passed: a reward of at least ${statistics.passReward}.
      </p>
    </section>
    ${when(failures.length > 0, () => failureTable(failures, anchors))}
    <section class="plots">${jobPlots(reported, bounds)}</section>
    <section>
      <h2>By task</h2>
      ${groupTable(['Task', 'Agent'], tasks, bounds)}
    </section>
    ${when(
      tags.length > 0,
      () =>
        html`<section>
          <h2>By tag</h2>
          <details>
            <summary>${tags.length} rows</summary>
            ${groupTable(['Tag', 'Agent'], tags, bounds)}
          </details>
        </section>`,
    )}
    <section class="pair">
      <div>
        <h2>Integrity</h2>
        ${integrityTable(total)}
      </div>
      <div>
        <h2>Time by phase</h2>
        ${timeTable([...agents, { labels: ['all'], group: total }])}
      </div>
    </section>
    ${when(
      total.usage,
      () =>
        html`<section>
          <h2>Tokens</h2>
          ${usageTable([...agents, { labels: ['all'], group: total }])}
        </section>`,
    )}`
}

function heading({ job, options, finished, summary, rollouts }: ReportedJob): Html {
  const times = rollouts.flatMap(({ result }) => (result === undefined ? [] : [result.startedAt, result.finishedAt]))
  const [first, last] = [times.toSorted()[0], times.toSorted().at(-1)]
  return html`<header>
    <h1>${job}</h1>
    <p>
      Taskset <b>${options.taskset}</b>, ${options.tasks.length} tasks, provider <b>${options.provider.name}</b>,
      ${options.attempts} ${options.attempts === 1 ? 'attempt' : 'attempts'}
      each${when(summary.parentJob, () => html`, again out of job <b>${summary.parentJob}</b>`)}.
      ${when(first, () => html`From <time>${first}</time> to <time>${last}</time>.`)}
    </p>
    ${when(!finished, () => html`<p class="bad">The job has not ended, or was terminated: these are the ${rollouts.length} rollouts that have ended so far.</p>`)}
  </header>`
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
    ${when(usage?.inputTokens ?? usage?.outputTokens, () => tile('Tokens', compact((usage?.inputTokens ?? 0) + (usage?.outputTokens ?? 0)), cost === undefined ? undefined : `${cost.toFixed(2)} USD`))}
  </section>`
}

function tile(label: string, value: string, note?: string): Html {
  return html`<div class="tile"><span>${label}</span><strong>${value}</strong><small>${note}</small></div>`
}

/** `13.8M`: the table has all digits. */
function compact(count: number): string {
  return count.toLocaleString('en-US', { notation: 'compact', maximumFractionDigits: 1 })
}
