import { failureKinds } from '../../protocol/failure.ts'
import { integrityClasses } from '../../protocol/grade.ts'
import type { FailureGroup, GroupStatistics, PassRate } from '../../protocol/statistics.ts'
import { formatMs } from '../statistics-table.ts'
import { formatReward } from '../summary.ts'
import { formatCount } from './bounds.ts'
import type { ReportBounds } from './bounds.ts'
import { html, when } from './html.ts'
import type { Html } from './html.ts'
import { leftOut } from './trace-view.ts'

/** One line of a table: what it is of, and the numbers. */
export interface Row {
  readonly labels: readonly string[]
  readonly group: GroupStatistics
}

export function groupTable(labels: readonly string[], rows: readonly Row[], bounds: ReportBounds): Html {
  const ks = shownKs(rows)
  const rates = ks.flatMap((k) => [`pass@${k}`, ...(k === 1 ? [] : [`pass^${k}`])])
  const hasIntervals = rows.some(({ group }) => group.interval !== undefined)
  const intervals = hasIntervals ? ['95 %'] : []
  const numbers = ['Rollouts', 'Mean', ...intervals, 'Median', 'Passed', 'Failed', ...rates]
  return html`<div class="wide">
      <table>
        <thead>
          <tr>
            ${labels.map((label) => html`<th>${label}</th>`)}${numbers.map((label) => html`<th class="number">${label}</th>`)}
          </tr>
        </thead>
        <tbody>
          ${rows.slice(0, bounds.rows).map((row) => groupRow(row, { ks, hasIntervals }))}
        </tbody>
      </table>
    </div>
    ${when(rows.length > bounds.rows, () => leftOut(`${rows.length - bounds.rows} more rows are in summary.json.`))}`
}

function groupRow({ labels, group }: Row, columns: { ks: readonly number[]; hasIntervals: boolean }): Html {
  const { interval } = group
  const cells = [
    String(group.rollouts),
    formatReward(group.mean),
    ...(columns.hasIntervals
      ? [interval === undefined ? '–' : `${formatReward(interval.low)} … ${formatReward(interval.high)}`]
      : []),
    formatReward(group.median),
    `${group.passed}/${group.graded}`,
    String(group.failed),
    ...columns.ks.flatMap((k) => [rate(group.passAtK, k), ...(k === 1 ? [] : [rate(group.passHatK, k)])]),
  ]
  return html`<tr>
    ${labels.map((label) => html`<th>${label}</th>`)}${cells.map((cell) => html`<td class="number">${cell}</td>`)}
  </tr>`
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

export function failureTable(failures: readonly FailureGroup[], anchors: ReadonlyMap<string, string>): Html {
  return html`<section>
    <h2>Failures</h2>
    <div class="wide">
      <table>
        <thead>
          <tr>
            <th>Code</th>
            <th class="number">Rollouts</th>
            <th>Who must act</th>
            <th>Meaning</th>
            <th>Which</th>
          </tr>
        </thead>
        <tbody>
          ${failures.map(({ code, actor, count, rollouts }) => {
            const more = count - mostNamed
            const named = rollouts.slice(0, mostNamed).map((name) => html`${link(name, anchors)} `)
            return html`<tr>
              <th>${code}</th>
              <td class="number">${count}</td>
              <td>${actor}</td>
              <td>${failureKinds[code].meaning}</td>
              <td>${named}${more > 0 ? `and ${more} more` : ''}</td>
            </tr>`
          })}
        </tbody>
      </table>
    </div>
  </section>`
}

function link(name: string, anchors: ReadonlyMap<string, string>): Html {
  const anchor = anchors.get(name)
  return anchor === undefined ? html`${name}` : html`<a href="#${anchor}">${name}</a>`
}

const integrityMeanings = {
  separate: 'the verifier ran elsewhere: cannot be forged from the agent’s sandbox',
  'non-root': 'the agent could not write outside its own files, as far as can be told',
  clean: 'no process of the agent ran during the tests, but root may have replaced programs',
  live: 'processes of the agent were running while tests ran in the same sandbox, or cannot be told apart',
} as const

export function integrityTable({ integrity }: GroupStatistics): Html {
  return html`<table>
    <thead>
      <tr>
        <th>Class</th>
        <th class="number">Rollouts</th>
        <th>Means</th>
      </tr>
    </thead>
    <tbody>
      ${integrityClasses.map(
        (name) =>
          html`<tr>
            <th>${name}</th>
            <td class="number">${integrity[name] ?? 0}</td>
            <td>${integrityMeanings[name]}</td>
          </tr>`,
      )}
    </tbody>
  </table>`
}

const phases = ['open', 'turns', 'grade', 'total'] as const

export function timeTable(rows: readonly Row[]): Html {
  return html`<table>
    <thead>
      <tr>
        <th></th>
        ${phases.map((phase) => html`<th class="number">${phase}</th>`)}
      </tr>
    </thead>
    <tbody>
      ${rows.map(
        ({ labels, group }) =>
          html`<tr>
            <th>${labels.join(' ')}</th>
            ${phases.map((phase) => html`<td class="number">${ms(group.timeMs[phase])}</td>`)}
          </tr>`,
      )}
    </tbody>
  </table>`
}

function ms(value: number | undefined): string {
  return value === undefined ? '–' : formatMs(value)
}

export function usageTable(rows: readonly Row[]): Html {
  const heads = ['Input', 'of them cached', 'Output', 'USD', 'Lost requests', 'Rollouts that reported']
  return html`<div class="wide">
    <table>
      <thead>
        <tr>
          <th></th>
          ${heads.map((head) => html`<th class="number">${head}</th>`)}
        </tr>
      </thead>
      <tbody>
        ${rows.map(({ labels, group: { usage } }) => {
          const counts = [usage?.inputTokens, usage?.cachedInputTokens, usage?.outputTokens]
          const cells = [
            ...counts.map(orDash),
            usage?.costUsd?.toFixed(2) ?? '–',
            orDash(usage?.unrecordedCalls),
            orDash(usage?.rollouts),
          ]
          return html`<tr>
            <th>${labels.join(' ')}</th>
            ${cells.map((cell) => html`<td class="number">${cell}</td>`)}
          </tr>`
        })}
      </tbody>
    </table>
  </div>`
}

function orDash(count: number | undefined): string {
  return count === undefined ? '–' : formatCount(count)
}
