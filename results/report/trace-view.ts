import type { ExecOutcome } from '../../protocol/exec.ts'
import { gradeKey, rolloutPrefix } from '../../store/keys.ts'
import type { StoredGrade } from '../../store/records.ts'
import { getJson } from '../../store/stored-json.ts'
import type { Store } from '../../store/store.ts'
import { formatMs } from '../statistics-table.ts'
import { formatReward, mainReward } from '../summary.ts'
import type { TraceLine } from '../trace.ts'
import { endsOf, formatBytes, formatCount } from './bounds.ts'
import type { Ends, ReportBounds } from './bounds.ts'
import { block, html, Html, when } from './html.ts'
import { readEnds } from './read-ends.ts'
import type { ExecLine, TraceItem } from './trace-items.ts'

export interface TraceSource {
  readonly store: Store
  readonly job: string
  readonly rollout: string
  readonly bounds: ReportBounds
}

/** One item of a rollout's trace, with what of its output fits. */
export async function traceItem(item: TraceItem, source: TraceSource): Promise<Html> {
  if (item.type === 'unread') return leftOut('A line of the trace is too long to be shown.')
  if (item.type === 'call') return callItem(item.line, item.execs, source.bounds)
  const { line } = item
  if (line.type === 'turn') return turnItem(line, source.bounds)
  return line.type === 'exec' ? await execItem(line, source) : await gradeItem(line, source)
}

export function leftOut(sentence: string): Html {
  return html`<p class="left-out">${sentence}</p>`
}

function turnItem(line: TraceLine & { type: 'turn' }, bounds: ReportBounds): Html {
  const { incarnation, turn, usage, reason, message, startedAt } = line
  const tokens = [
    ...(usage?.inputTokens === undefined ? [] : [`${formatCount(usage.inputTokens)} tokens in`]),
    ...(usage?.outputTokens === undefined ? [] : [`${formatCount(usage.outputTokens)} out`]),
  ]
  const sandbox = incarnation > 1 ? ` in sandbox ${incarnation}` : ''
  return html`<h4>
      Turn ${turn}${sandbox}${line.done ? ': done' : ''} <small>${startedAt} ${tokens.join(', ')}</small>
    </h4>
    ${when(message, () => output(endsOf(message ?? '', bounds.output), 'message'))}
    ${when(reason, () => html`<p>${reason}</p>`)}`
}

function callItem(line: TraceLine & { type: 'call' }, execs: readonly ExecLine[], bounds: ReportBounds): Html {
  const { tool, args, outcome, ok, exitCode } = line
  const ended = outcome === 'exited' && exitCode !== undefined ? `exit ${exitCode}` : outcome
  const shown = tool === 'bash' && typeof args['command'] === 'string' ? args['command'] : argumentsOf(args)
  const ms = execs.reduce((sum, { durationMs }) => sum + durationMs, 0)
  return html`<div class="call">
    <p class="call-head">
      <b>${tool}</b>
      <span class="${ok ? 'good' : 'bad'}">${ended}</span>
      ${when(execs.length > 0, () => html`<small>${shortTime(ms)}</small>`)}
    </p>
    ${output(endsOf(shown, bounds.command), 'command')}${output(endsOf(line.output, bounds.output))}
    ${execs.filter(({ truncated }) => truncated).map(fullOutput)}
  </div>`
}

function argumentsOf(args: Readonly<Record<string, unknown>>): string {
  return Object.keys(args).length === 0 ? '' : JSON.stringify(args, undefined, 2)
}

function fullOutput({ id, stdoutBytes, stderrBytes }: ExecLine): Html {
  const sizes = `${formatBytes(stdoutBytes)} of stdout, ${formatBytes(stderrBytes)} of stderr`
  return leftOut(`The agent saw a part of ${sizes}; the whole is execs/${id}.stdout and .stderr of an export.`)
}

/** A command that no call of the agent asked for: preparation, tests. */
async function execItem(line: ExecLine, { store, bounds }: TraceSource): Promise<Html> {
  const streams = await Promise.all(
    [['stdout', line.stdoutKey] as const, ['stderr', line.stderrKey] as const].map(async ([name, key]) => {
      const ends = key === undefined ? undefined : await readEnds(store, key, bounds.output)
      return ends === undefined
        ? undefined
        : html`<p class="stream">${name}</p>
            ${output(ends)}`
    }),
  )
  const succeeded = line.outcome.type === 'exited' && line.outcome.code === 0
  return html`<div class="call">
    <p class="call-head">
      <b>${line.phase === 0 ? 'preparation' : 'command'}</b>
      <span class="${succeeded ? 'good' : 'bad'}">${outcomeText(line.outcome)}</span>
      <small>${shortTime(line.durationMs)}</small>
    </p>
    ${output(endsOf(line.command, bounds.command), 'command')}${streams}
  </div>`
}

function shortTime(ms: number): string {
  return ms < 1000 ? `${Math.round(ms)} ms` : formatMs(ms)
}

function outcomeText(outcome: ExecOutcome): string {
  switch (outcome.type) {
    case 'exited':
      return `exit ${outcome.code}${outcome.oomKilled ? ', out of memory' : ''}`
    case 'signaled':
      return `ended by ${outcome.signal}`
    case 'lost':
      return `lost (${outcome.reason})`
    case 'timed-out':
      return 'timed out'
  }
}

/** The grade with its evidence: whatever was stored beside rewards and commands is shown as it is. */
async function gradeItem(line: TraceLine & { type: 'grade' }, source: TraceSource): Promise<Html> {
  const { job, rollout, store, bounds } = source
  const stored = await getJson<StoredGrade>(store, gradeKey({ job, rollout, ...line }))
  const recorded: Partial<StoredGrade> = stored ?? line
  const { execs: _, processes = [], changedPaths = [], system: _system, ...rest } = recorded
  const { rewards, integrity, failure } = line
  const reward = rewards === undefined ? undefined : mainReward(rewards)
  return html`<h4>
      Grade${rewards === undefined ? '' : `: ${formatReward(reward)}`}${integrity === undefined ? '' : `, ${integrity}`}
    </h4>
    ${when(
      failure,
      () =>
        html`<p class="bad">${failure?.code}</p>
          ${output(endsOf(failure?.message ?? '', bounds.output), 'message')}`,
    )}
    ${when(processes.length > 0, () => evidence('Beside the tests:', processes))}
    ${when(changedPaths.length > 0, () => evidence('System paths that had changed before the tests:', changedPaths))}
    <details>
      <summary>Everything that was recorded</summary>
      ${output(endsOf(JSON.stringify(rest, undefined, 2), bounds.output))}
    </details>`
}

function evidence(what: string, lines: readonly string[]): Html {
  return html`<p>${what}</p>
    <ul>
      ${lines.map((line) => html`<li><code>${line.slice(0, 500)}</code></li>`)}
    </ul>`
}

/** A text with its middle left out where it is long. */
export function output({ head, tail, left, unit }: Ends, kind: 'output' | 'command' | 'message' = 'output'): Html {
  if (head === '' && left === 0) return html``
  if (left === 0) return preformatted(kind, block(head))
  const missing = html`<span class="left-out">… ${formatCount(left)} ${unit} left out …</span>`
  return preformatted(kind, html`${block(`${head}\n`)}${missing}${block(`\n${tail}`)}`)
}

/** A browser drops a line end right after <pre>; one that is our own keeps the text's. */
function preformatted(kind: string, text: Html): Html {
  return new Html(`<pre class="${kind}">\n${text.markup}</pre>`)
}

/** Where a rollout's objects are, for whoever wants what was left out. */
export function placeOf({ store, job, rollout }: TraceSource): string {
  return `${store.url}/${rolloutPrefix(job, rollout)}`
}
