import type { RolloutResult } from '../protocol/grade.ts'
import type { JobOptions } from '../protocol/job.ts'
import { harborTrialConfig } from './harbor-result.ts'
import type { JsonObject } from './harbor-result.ts'

/** Harbor's lock files (schema 2 of a trial, 3 of a job) beside what ours says. */

/** `<rollout>/lock.json`, or undefined for a rollout that never knew its task's checksum. */
export function harborTrialLock(result: RolloutResult, options: JobOptions): JsonObject | undefined {
  if (!/^[0-9a-f]{64}$/.test(result.taskChecksum)) return undefined
  const { agent, environment } = harborTrialConfig(result, options)
  return {
    schema_version: 2,
    task: {
      name: result.task,
      type: 'local',
      digest: `sha256:${result.taskChecksum}`,
      source: options.taskset,
      path: result.task,
    },
    agent,
    environment,
    verifier: { environment_mode: result.integrity === 'separate' ? 'separate' : 'shared' },
  }
}

/** `<job>/lock.json`: ours, with Harbor's fields beside it. */
export function harborJobLock(job: {
  lock: JsonObject
  options: JobOptions
  results: readonly RolloutResult[]
}): JsonObject {
  const { lock, options, results } = job
  return {
    ...lock,
    schema_version: 3,
    created_at: results.map((result) => result.startedAt).toSorted()[0] ?? new Date(0).toISOString(),
    harbor: { version: null },
    n_concurrent_trials: options.concurrency,
    retry: { max_retries: 0 },
    trials: results.map((result) => harborTrialLock(result, options)).filter((trial) => trial !== undefined),
  }
}
