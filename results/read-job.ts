import pLimit from 'p-limit'
import { RollcallError } from '../protocol/failure.ts'
import { jobKey, planKey, resultKey, summaryKey } from '../store/keys.ts'
import { jobStatistics } from './job-statistics.ts'
import { summarizeResults } from './summary.ts'
import type { JobSummary, RolloutResult } from '../protocol/grade.ts'
import { jobOptionsSchema } from '../protocol/job.ts'
import type { JobOptions, PlannedRollout } from '../protocol/job.ts'
import type { StoredPlan } from '../store/records.ts'
import type { Store } from '../store/store.ts'
import { getJson } from '../store/stored-json.ts'

/** How many objects are read at the same time: enough to hide the latency of S3, few enough for open files. */
const readConcurrency = 16

/** The options a job was started with; undefined when the store has no such job. */
export async function findJobOptions(store: Store, job: string): Promise<JobOptions | undefined> {
  const bytes = await store.get(jobKey(job))
  return bytes === undefined ? undefined : jobOptionsSchema.parse(JSON.parse(bytes.toString()))
}

/** The options a job was started with. @throws RollcallError `configuration-invalid` when the store has no such job */
export async function readJobOptions(store: Store, job: string): Promise<JobOptions> {
  const options = await findJobOptions(store, job)
  if (options) return options
  throw new RollcallError(
    'configuration-invalid',
    `Job ${JSON.stringify(job)} is not in the store ${store.url}: ` +
      'expected the id of a job that was started here; `rollcall status` lists them',
  )
}

/** All rollouts of a job in its order; undefined while it is being planned. */
export async function readPlan(store: Store, job: string): Promise<readonly PlannedRollout[] | undefined> {
  return (await readStoredPlan(store, job))?.rollouts
}

/** What planning found; undefined while it goes on. */
export function readStoredPlan(store: Store, job: string): Promise<StoredPlan | undefined> {
  return getJson<StoredPlan>(store, planKey(job))
}

/** Results of the named rollouts that have ended, in the given order. */
export async function readResults(store: Store, job: string, names: readonly string[]): Promise<RolloutResult[]> {
  const limit = pLimit(readConcurrency)
  const read = names.map((name) => limit(() => getJson<RolloutResult>(store, resultKey(job, name))))
  return (await Promise.all(read)).filter((result) => result !== undefined)
}

/** The summary that the job itself stored when it ended, or undefined. */
export function readSummary(store: Store, job: string): Promise<JobSummary | undefined> {
  return getJson<JobSummary>(store, summaryKey(job))
}

/**
 * What the store knows about a job's grades, also while it runs and after Temporal has forgotten it: the stored
 * summary, else one of the rollouts that have ended so far.
 * @param options.passReward the reward from which a rollout counts as passed; default 1
 */
export async function readGrades(
  store: Store,
  job: string,
  options: { passReward?: number | undefined } = {},
): Promise<{ summary: JobSummary; finished: boolean }> {
  const { passReward } = options
  const stored = await readSummary(store, job)
  if (stored !== undefined && passReward === undefined) return { summary: stored, finished: true }
  const { parentJob } = await readJobOptions(store, job)
  const plan = await readStoredPlan(store, job)
  if (!plan) throw new RollcallError('configuration-invalid', notPlanned(job))
  const tags = plan.tags ?? {}
  if (stored !== undefined) {
    return { summary: { ...stored, statistics: jobStatistics(stored.rollouts, { tags, passReward }) }, finished: true }
  }
  const names = plan.rollouts.map((rollout) => rollout.name)
  const results = await readResults(store, job, names)
  return { summary: summarizeResults({ job, results, tags, parentJob, passReward }), finished: false }
}

function notPlanned(job: string): string {
  return `Job ${JSON.stringify(job)} has no rollouts: expected one whose planning is done; rollcall status ${job} says where it is`
}
