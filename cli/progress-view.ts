import { formatReward } from '../results/summary.ts'
import { escapeControls } from '../results/terminal-text.ts'
import type { JobStatus } from '../protocol/events.ts'
import type { RolloutPhase } from '../protocol/names.ts'
import type { RunningRollout } from '../client/index.ts'

/** How progress looks; pure, so that it can be tested without a terminal or a clock. */

export interface ProgressView {
  readonly status: JobStatus
  readonly running: readonly RunningRollout[]
  /** Since this command began to follow the job; undefined when it only looks. */
  readonly elapsedMs: number | undefined
  /** How many rollouts had already ended then; they say nothing about the speed now. */
  readonly doneBefore: number
  readonly columns: number
  readonly rows: number
  /** Set while the first Ctrl-C is waited out. */
  readonly notice?: string
}

const phaseTexts: Readonly<Record<RolloutPhase, string>> = {
  open: 'opening sandbox',
  turns: 'agent at work',
  grade: 'grading',
  record: 'recording',
  release: 'releasing sandbox',
  done: 'done',
}

const wideColumns = 80
/** Bar, "… and n more", notice, and one line that the cursor stands on. */
const linesBesideRollouts = 4

/** The lines to draw, each at most `columns` wide, all together at most `rows - 1`. */
export function progressLines(view: ProgressView): string[] {
  const room = Math.max(0, view.rows - linesBesideRollouts)
  const shown = view.running.slice(0, room)
  const hidden = view.running.length - shown.length
  const lines = [
    overallLine(view),
    ...shown.map((rollout) => rolloutLine(rollout, view.elapsedMs !== undefined)),
    ...(hidden > 0 ? [`  … and ${hidden} more`] : []),
    ...(view.notice === undefined ? [] : [view.notice]),
  ]
  return lines.slice(0, Math.max(1, view.rows - 1)).map((line) => clip(line, view.columns))
}

function overallLine(view: ProgressView): string {
  const { status } = view
  const done = endedCount(status)
  const barColumns = view.columns < wideColumns ? 10 : 20
  const filled = status.total === 0 ? 0 : Math.floor((done / status.total) * barColumns)
  const bar = '█'.repeat(filled) + '░'.repeat(barColumns - filled)
  const eta = etaMs(view)
  const parts = [
    `${bar} ${done}/${status.total}`,
    `mean ${formatReward(status.graded === 0 ? undefined : status.rewardSum / status.graded)}`,
    ...(status.failed > 0 ? [`${status.failed} failed`] : []),
    ...(status.cancelled > 0 ? [`${status.cancelled} cancelled`] : []),
    ...(view.elapsedMs === undefined ? [] : [formatDuration(view.elapsedMs)]),
    ...(eta === undefined ? [] : [`ETA ${formatDuration(eta)}`]),
    ...(status.state === 'running' ? [] : [status.state]),
  ]
  return parts.join('  ')
}

/** A command that only looks has seen the phase for no time at all. */
function rolloutLine(rollout: RunningRollout, isFollowing: boolean): string {
  const { phase, turn, retried } = rollout
  const parts = [
    escapeControls(rollout.rollout),
    phase === 'turns' && turn > 0 ? `turn ${turn}` : phaseTexts[phase],
    ...(isFollowing ? [formatDuration(rollout.sinceMs)] : []),
    ...(retried === undefined ? [] : [`attempt ${retried.attempt} after: ${escapeControls(retried.message)}`]),
  ]
  return `  ${parts.join('  ')}`
}

export function endedCount(status: JobStatus): number {
  return status.graded + status.failed + status.cancelled
}

/** Undefined before the first rollout has ended, and when nothing is left. */
export function etaMs(view: Pick<ProgressView, 'status' | 'elapsedMs' | 'doneBefore'>): number | undefined {
  const done = endedCount(view.status)
  const doneHere = done - view.doneBefore
  const left = view.status.total - done
  if (view.elapsedMs === undefined || doneHere <= 0 || left <= 0) return undefined
  return (view.elapsedMs / doneHere) * left
}

/** `0:07`, `12:30`, `1:02:03`. */
export function formatDuration(durationMs: number): string {
  const seconds = Math.max(0, Math.round(durationMs / 1000))
  const [hours, minutes] = [Math.floor(seconds / 3600), Math.floor(seconds / 60) % 60]
  const twoDigits = (n: number) => String(n).padStart(2, '0')
  const rest = twoDigits(seconds % 60)
  return hours > 0 ? `${hours}:${twoDigits(minutes)}:${rest}` : `${minutes}:${rest}`
}

/** Task names and agent labels are ASCII (protocol/names.ts), and messages mostly, so that characters are columns. */
function clip(line: string, columns: number): string {
  return line.length <= columns ? line : `${line.slice(0, Math.max(0, columns - 1))}…`
}
