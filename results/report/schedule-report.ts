import type { ScheduleVerdict, TaskChange } from '../../protocol/schedule.ts'
import { formatReward } from '../summary.ts'
import { html, when } from './html.ts'
import type { Html } from './html.ts'
import { reportPage } from './page.ts'
import { linePlot } from './plots.ts'

/** Some years of nights. More would make a plot that nobody can read. */
const mostJobs = 1_000

/** One HTML file with the trend of a schedule's jobs and what each came to. Pure: the same verdicts give the same file. */
export function scheduleReport(schedule: string, verdicts: readonly ScheduleVerdict[]): string {
  const shown = verdicts.slice(-mostJobs)
  const left = verdicts.length - shown.length
  return reportPage(
    `Schedule ${schedule}`,
    html`<h1>Schedule ${schedule}</h1>
      ${linePlot({
        title: 'Mean reward of each job',
        unit: 'mean reward',
        max: 1,
        points: shown.map(({ scheduledAt, mean }) => ({ label: scheduledAt, value: mean })),
        ...(left === 0 ? {} : { note: `The ${left} earlier jobs are left out.` }),
      })}
      ${verdictTable(shown.toReversed())}`,
  )
}

/** The latest job first. */
function verdictTable(verdicts: readonly ScheduleVerdict[]): Html {
  return html`<table>
    <thead>
      <tr>
        <th>Due</th>
        <th>Job</th>
        <th>Verdict</th>
        <th class="number">Mean</th>
        <th class="number">Failed</th>
        <th>Why</th>
        <th>Tasks that did otherwise</th>
      </tr>
    </thead>
    <tbody>
      ${verdicts.map(
        (verdict) =>
          html`<tr>
            <td>${verdict.scheduledAt}</td>
            <td>${verdict.job}</td>
            <td>${verdict.verdict}${when(verdict.belowThreshold, () => html`, below threshold`)}</td>
            <td class="number">${formatReward(verdict.mean)}</td>
            <td class="number">${verdict.failed}</td>
            <td>${verdict.reason}${when(verdict.baseline, () => html` Against ${verdict.baseline}.`)}</td>
            <td>${verdict.tasks.map(taskLine)}</td>
          </tr>`,
      )}
    </tbody>
  </table>`
}

function taskLine({ task, change, before, now }: TaskChange): Html {
  return html`<div>${task} ${change} (${formatReward(before)} → ${formatReward(now)})</div>`
}
