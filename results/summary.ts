import { rolloutId } from '../protocol/names.ts'
import type { JobSummary, Rewards, RolloutResult, SummaryRollout } from '../protocol/grade.ts'
import type { PlannedRollout } from '../protocol/job.ts'
import type { PhaseMs } from '../protocol/statistics.ts'
import { jobStatistics, mainReward } from './job-statistics.ts'
import type { StatisticsOptions } from './job-statistics.ts'
import { meanOf } from './statistics.ts'

export { mainReward, meanOf }

/** Mean of the main rewards of graded rollouts; failed and cancelled ones have no part in it. */
export function meanReward(rollouts: readonly { readonly rewards?: Rewards }[]): number | undefined {
  return meanOf(rollouts.flatMap(({ rewards }) => (rewards ? (mainReward(rewards) ?? []) : [])))
}

/** A reward or mean as it is shown everywhere: three decimals, `–` for the mean of nothing. */
export function formatReward(reward: number | undefined): string {
  return reward === undefined ? '–' : reward.toFixed(3)
}

/** Only a cancelled job leaves cancelled rollouts, or, where it was cancelled before it was planned, none at all. */
export function wasCancelled({ cancelled, rollouts }: Pick<JobSummary, 'cancelled' | 'rollouts'>): boolean {
  return cancelled > 0 || rollouts.length === 0
}

/**
 * The summary of a job: `summary.json` and the last line of `--json`. Pure, so the same results give the same summary
 * wherever it is made.
 * @param job.planned all rollouts of the job in its order; one without a result never started and counts as cancelled.
 *   Without a plan the results stand alone, in their order.
 */
export function summarizeResults(job: {
  job: string
  results: readonly RolloutResult[]
  planned?: readonly PlannedRollout[]
  tags?: StatisticsOptions['tags']
  parentJob?: string | undefined
  passReward?: number | undefined
}): JobSummary {
  const byName = new Map(job.results.map((result) => [result.name, result]))
  const rollouts = job.planned
    ? job.planned.map((planned) => {
        const result = byName.get(planned.name)
        return result ? summaryRollout(result) : neverStarted(job.job, planned)
      })
    : job.results.map(summaryRollout)
  const mean = meanReward(rollouts)
  const count = (state: SummaryRollout['state']) => rollouts.filter((rollout) => rollout.state === state).length
  return {
    type: 'summary',
    job: job.job,
    ...(mean === undefined ? {} : { mean }),
    graded: count('graded'),
    failed: count('failed'),
    cancelled: count('cancelled'),
    rollouts,
    ...(job.parentJob === undefined ? {} : { parentJob: job.parentJob }),
    statistics: jobStatistics(rollouts, job),
  }
}

function summaryRollout(result: RolloutResult): SummaryRollout {
  const { id, task, agent, attempt, state, rewards, integrity, failure, agentEnd, turns, usage } = result
  return {
    id,
    task,
    agent,
    attempt,
    state,
    ...(rewards ? { rewards } : {}),
    ...(integrity ? { integrity } : {}),
    ...(failure ? { failure: { code: failure.code, message: failure.message } } : {}),
    taskChecksum: result.taskChecksum,
    ...(agentEnd ? { agentEnd } : {}),
    turns,
    timeMs: phaseMs(result),
    ...(Object.keys(usage).length === 0 ? {} : { usage }),
  }
}

/** How long each phase took that was entered; of a phase entered several times, from first to last. */
function phaseMs({ phases, startedAt, finishedAt }: RolloutResult): PhaseMs {
  const entered = Object.entries(phases).map(([name, times]) => [name, duration(times)] as const)
  return { ...Object.fromEntries(entered), total: duration({ startedAt, finishedAt }) }
}

function duration({ startedAt, finishedAt }: { startedAt: string; finishedAt: string }): number {
  // The workflow's clock and a worker's may differ by a little.
  return Math.max(0, Date.parse(finishedAt) - Date.parse(startedAt))
}

function neverStarted(job: string, planned: PlannedRollout): SummaryRollout {
  const { name, task, agent, attempt } = planned
  const message = 'The job was cancelled before this rollout started.'
  return { id: rolloutId(job, name), task, agent, attempt, state: 'cancelled', failure: { code: 'cancelled', message } }
}
