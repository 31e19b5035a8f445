import { failureKinds } from '../../protocol/failure.ts'
import { formatMs } from '../statistics-table.ts'
import { formatReward, mainReward } from '../summary.ts'
import { endsOf, formatCount } from './bounds.ts'
import type { ReportBounds } from './bounds.ts'
import { html, when } from './html.ts'
import type { Html } from './html.ts'
import type { ReportedRollout } from './read-report.ts'
import { output } from './trace-view.ts'

/** Heads of the list and the attribute of a rollout by which browser.js sorts. */
const columns = [
  ['rollout', 'Rollout'],
  ['state', 'State'],
  ['reward', 'Reward'],
  ['integrity', 'Integrity'],
  ['turns', 'Turns'],
  ['ms', 'Time'],
  ['tokens', 'Tokens'],
] as const

/** One rollout of the list: a line that opens to all that is known of it. */
export function rolloutItem(rollout: ReportedRollout, place: { id: string; trace: Html; bounds: ReportBounds }): Html {
  const { name, summary, tags } = rollout
  const { state, failure, integrity, turns, timeMs, usage, rewards } = summary
  const reward = rewards === undefined ? undefined : mainReward(rewards)
  const tokens =
    usage?.inputTokens === undefined && usage?.outputTokens === undefined
      ? undefined
      : (usage.inputTokens ?? 0) + (usage.outputTokens ?? 0)
  const search = [name, state, integrity, failure?.code, ...tags].join(' ').toLowerCase()
  return html`<details
    class="rollout"
    id="${place.id}"
    data-rollout="${name}"
    data-state="${state}"
    data-agent="${summary.agent}"
    data-integrity="${integrity}"
    data-code="${failure?.code}"
    data-reward="${reward}"
    data-turns="${turns}"
    data-ms="${timeMs?.total}"
    data-tokens="${tokens}"
    data-search="${search}"
  >
    <summary>
      <b>${name}</b><span class="state ${state}">${failure === undefined ? state : failure.code}</span
      ><span class="number">${formatReward(reward)}</span> <span>${integrity ?? '–'}</span
      ><span class="number">${turns ?? '–'}</span
      ><span class="number">${timeMs?.total === undefined ? '–' : formatMs(timeMs.total)}</span>
      <span class="number">${tokens === undefined ? '–' : formatCount(tokens)}</span>
    </summary>
    <div class="body">${facts(rollout)}${when(failure, () => failureText(failure, place.bounds))}${place.trace}</div>
  </details> `
}

function failureText(failure: ReportedRollout['summary']['failure'], bounds: ReportBounds): Html {
  if (failure === undefined) return html``
  const { actor, meaning } = failureKinds[failure.code]
  return html`<p class="bad">${failure.code} (who must act: ${actor}): ${meaning}</p>
    ${output(endsOf(failure.message, bounds.output), 'message')}`
}

function facts({ summary, result, tags }: ReportedRollout): Html {
  const sandbox = result?.sandbox
  const pairs: readonly (readonly [string, string | undefined])[] = [
    ['Id', summary.id],
    ['Rewards', summary.rewards === undefined ? undefined : JSON.stringify(summary.rewards)],
    ['Agent’s part', summary.agentEnd],
    ['From', result && `${result.startedAt} to ${result.finishedAt}`],
    ['Time', phaseTimes(summary.timeMs)],
    ['Sandbox', sandbox && `${sandbox.name} (${sandbox.provider}, ${sandbox.place})`],
    ['Image', sandbox?.image],
    ['Sandboxes', result !== undefined && result.incarnations > 1 ? String(result.incarnations) : undefined],
    [
      'Grading attempts',
      result !== undefined && result.gradingAttempts > 1 ? String(result.gradingAttempts) : undefined,
    ],
    ['Usage', summary.usage === undefined ? undefined : JSON.stringify(summary.usage)],
    ['Task’s checksum', summary.taskChecksum],
    ['Tags', tags.length === 0 ? undefined : tags.join(', ')],
  ]
  const known = pairs.flatMap(([name, value]) => (value === undefined ? [] : [{ name, value: value.slice(0, 1000) }]))
  return html`<dl>
    ${known.map(
      ({ name, value }) =>
        html`<dt>${name}</dt>
          <dd>${value}</dd>`,
    )}
  </dl>`
}

function phaseTimes(timeMs: ReportedRollout['summary']['timeMs']): string | undefined {
  const times = Object.entries(timeMs ?? {}).map(([phase, ms]) => `${phase} ${formatMs(ms)}`)
  return times.length === 0 ? undefined : times.join(', ')
}

/** The list with its controls, which browser.js brings to life; without it, the rollouts are there in the job's order. */
export function rolloutList(
  items: readonly Html[],
  { left, agents }: { left: number; agents: readonly string[] },
): Html {
  return html`<section id="rollouts">
    <h2>Rollouts</h2>
    <form class="filters needs-script">
      <label>Find <input name="q" type="search" placeholder="task, agent, code, tag" /></label>
      ${choice('state', ['graded', 'failed', 'cancelled'])}${choice('agent', agents)}${choice('integrity', ['separate', 'non-root', 'clean', 'live'])}
      <output id="shown"></output>
    </form>
    ${when(left > 0, () => html`<p class="left-out">${left} more rollouts are not in this file: those that failed and those with the lowest rewards are.</p>`)}
    <div class="wide">
      <div class="list">
        <div class="heads">
          ${columns.map(([key, label]) => html`<button type="button" data-sort="${key}">${label}</button>`)}
        </div>
        ${items}
      </div>
    </div>
  </section>`
}

function choice(name: string, values: readonly string[]): Html {
  return html`<label
    >${name}
    <select name="${name}">
      <option value="">all</option>
      ${values.map((value) => html`<option>${value}</option>`)}
    </select></label
  >`
}
