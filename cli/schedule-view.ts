import Table from 'cli-table3'
import type { ScheduleState, ScheduleVerdict, TaskChange } from '../client/index.ts'
import { counted } from '../protocol/names.ts'
import { formatReward } from '../results/summary.ts'

/** How many jobs and times `schedule show` lists. */
const shownJobs = 5
const shownTimes = 3
/** How many changed tasks are named: a row has to fit into a terminal. */
const shownTasks = 3

export function scheduleTable(states: readonly ScheduleState[]): string {
  if (states.length === 0) return 'No schedules.\n'
  const rows = states.map((state) => [
    state.name,
    state.taskset,
    `${state.cron} ${state.timeZone}`,
    state.paused ? 'paused' : (state.next[0] ?? 'never'),
    state.running.join(', '),
  ])
  return table(['Schedule', 'Taskset', 'When', 'Next', 'Running'], rows)
}

export function historyTable(verdicts: readonly ScheduleVerdict[]): string {
  if (verdicts.length === 0) return ''
  const rows = verdicts.map((verdict) => [
    verdict.scheduledAt,
    verdict.job,
    `${verdict.verdict}${verdict.belowThreshold ? ', below threshold' : ''}`,
    formatReward(verdict.mean),
    differenceOf(verdict),
    String(verdict.failed),
    changedTasks(verdict.tasks),
  ])
  return table(['Due', 'Job', 'Verdict', 'Mean', 'Difference', 'Failed', 'Tasks that changed'], rows)
}

export const unserved = 'no worker serves it: start `rollcall worker` where the sandboxes are to be'

/** @param untold the latest job, when whoever is to be told its verdict has not been told */
export function showSchedule(
  state: ScheduleState,
  history: readonly ScheduleVerdict[],
  untold: string | undefined,
): string {
  const { paused, note, missed, next } = state
  const lines = [
    `${state.name}: ${state.taskset}, ${counted(state.tasks, 'task')}, at ${state.cron} (${state.timeZone})`,
    paused
      ? `paused${note === undefined ? '' : `: ${note}`}`
      : `next: ${next.slice(0, shownTimes).join(', ') || 'never'}`,
    ...(state.running.length === 0 ? [] : [`running: ${state.running.join(', ')}`]),
    ...(state.served ? [] : [unserved]),
    ...(missed.catchup + missed.overlap === 0
      ? []
      : [`left out: ${missed.overlap} while a job still ran, ${missed.catchup} while the server was away`]),
    ...(untold === undefined
      ? []
      : [`not all have been told yet what ${untold} came to: the workflow ${untold}.told in the Temporal UI says why`]),
  ]
  const latest = history.slice(-shownJobs)
  return `${lines.join('\n')}\n${historyTable(latest)}${reasonLine(latest.at(-1))}`
}

function reasonLine(latest: ScheduleVerdict | undefined): string {
  return latest === undefined ? 'No job has ended yet.\n' : `latest: ${latest.verdict}. ${latest.reason}\n`
}

function differenceOf({ difference }: ScheduleVerdict): string {
  if (difference === undefined) return '–'
  const { mean, low, high } = difference
  const interval = low === undefined || high === undefined ? '' : ` [${low.toFixed(3)}, ${high.toFixed(3)}]`
  return `${mean >= 0 ? '+' : ''}${mean.toFixed(3)}${interval}`
}

function changedTasks(tasks: readonly TaskChange[]): string {
  const named = tasks.slice(0, shownTasks).map(({ task, change }) => `${task} ${change}`)
  return tasks.length > shownTasks ? `${named.join(', ')}, and ${tasks.length - shownTasks} more` : named.join(', ')
}

function table(head: readonly string[], rows: readonly string[][]): string {
  const drawn = new Table({ head: [...head], style: { head: [], border: [], compact: true } })
  drawn.push(...rows)
  return `${drawn.toString()}\n`
}
