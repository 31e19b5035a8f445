import { rolloutId } from '../protocol/names.ts'
import type { JobSummary, Rewards, RolloutResult, SummaryRollout } from '../protocol/grade.ts'
import type { PlannedRollout } from '../protocol/job.ts'

/**
 * The one number that stands for a rollout's rewards in means and tables: the reward named `reward`, else the only one,
 * else the mean of all. Undefined when there is none.
 */
export function mainReward(rewards: Rewards): number | undefined {
  return rewards['reward'] ?? meanOf(Object.values(rewards))
}

/** Arithmetic mean; the mean of nothing is undefined. */
export function meanOf(values: readonly number[]): number | undefined {
  return values.length === 0 ? undefined : values.reduce((sum, value) => sum + value, 0) / values.length
}

/** Mean of the main rewards of graded rollouts; failed and cancelled ones have no part in it. */
export function meanReward(rollouts: readonly { readonly rewards?: Rewards }[]): number | undefined {
  return meanOf(rollouts.flatMap(({ rewards }) => (rewards ? (mainReward(rewards) ?? []) : [])))
}

/** A reward or mean as it is shown everywhere: three decimals, `–` for the mean of nothing. */
export function formatReward(reward: number | undefined): string {
  return reward === undefined ? '–' : reward.toFixed(3)
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
}): JobSummary {
  const byName = new Map(job.results.map((result) => [result.name, result]))
  const rollouts = job.planned
    ? job.planned.map((planned) => summaryRollout(byName.get(planned.name) ?? neverStarted(job.job, planned)))
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
  }
}

function summaryRollout(result: SummaryRollout): SummaryRollout {
  const { id, task, agent, attempt, state, rewards, integrity, failure } = result
  return {
    id,
    task,
    agent,
    attempt,
    state,
    ...(rewards ? { rewards } : {}),
    ...(integrity ? { integrity } : {}),
    ...(failure ? { failure: { code: failure.code, message: failure.message } } : {}),
  }
}

function neverStarted(job: string, planned: PlannedRollout): SummaryRollout {
  const { name, task, agent, attempt } = planned
  const message = 'The job was cancelled before this rollout started.'
  return { id: rolloutId(job, name), task, agent, attempt, state: 'cancelled', failure: { code: 'cancelled', message } }
}
