import type { JobSummary, RolloutResult, SummaryRollout } from '../../protocol/grade.ts'
import type { JobOptions } from '../../protocol/job.ts'
import { rolloutName } from '../../protocol/names.ts'
import type { JobStatistics } from '../../protocol/statistics.ts'
import type { Store } from '../../store/store.ts'
import { jobStatistics } from '../job-statistics.ts'
import { readGrades, readJobOptions, readResults, readStoredPlan } from '../read-job.ts'

export interface ReportedRollout {
  /** `<task>.<agent>.<attempt>` */
  readonly name: string
  readonly summary: SummaryRollout
  readonly tags: readonly string[]
  /** Absent for one that never began. */
  readonly result?: RolloutResult
}

/** What a report tells of a job, except the traces. */
export interface ReportedJob {
  readonly job: string
  readonly options: JobOptions
  readonly summary: JobSummary
  readonly statistics: JobStatistics
  /** False while it runs: then these are the rollouts that have ended so far. */
  readonly finished: boolean
  /** In the job's order. */
  readonly rollouts: readonly ReportedRollout[]
}

/** Reads a job out of the store. @throws RollcallError `configuration-invalid` for one that is unknown or not planned */
export async function readReportedJob(
  store: Store,
  job: string,
  { passReward }: { passReward?: number | undefined } = {},
): Promise<ReportedJob> {
  const options = await readJobOptions(store, job)
  const { summary, finished } = await readGrades(store, job, { passReward })
  const tags = (await readStoredPlan(store, job))?.tags ?? {}
  const results = await readResults(store, job, summary.rollouts.map(rolloutName))
  const byName = new Map(results.map((result) => [result.name, result]))
  const rollouts = summary.rollouts.map((rollout) => {
    const name = rolloutName(rollout)
    const result = byName.get(name)
    return { name, summary: rollout, tags: tags[rollout.task] ?? [], ...(result === undefined ? {} : { result }) }
  })
  const statistics = summary.statistics ?? jobStatistics(summary.rollouts, { tags, passReward })
  return { job, options, summary, statistics, finished, rollouts }
}
