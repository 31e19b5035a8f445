import type { RolloutResult } from '../protocol/grade.ts'
import type { JobOptions, PlannedRollout } from '../protocol/job.ts'
import { rolloutId } from '../protocol/names.ts'
import type { Store } from '../store/store.ts'
import { findJobOptions, readPlan, readResults } from './read-job.ts'

/**
 * The results of a job that is over, and a failure for each rollout without one: its workflow was terminated by hand or
 * broke, which is never a wrong answer and never a rollout less.
 */
export function withLost(
  job: string,
  at: {
    planned: readonly PlannedRollout[]
    stored: readonly RolloutResult[]
    tasks: JobOptions['tasks']
  },
): RolloutResult[] {
  const known = new Set(at.stored.map(({ name }) => name))
  const checksums = new Map(at.tasks.map(({ name, checksum }) => [name, checksum]))
  const lost = at.planned
    .filter(({ name }) => !known.has(name))
    .map((rollout) => lostResult(job, rollout, checksums.get(rollout.task) ?? ''))
  return [...at.stored, ...lost]
}

/** What `withLost` says of a job in the store; none for an unknown one and one that was never planned. */
export async function readEndedJob(store: Store, job: string): Promise<RolloutResult[]> {
  const [options, planned = []] = await Promise.all([findJobOptions(store, job), readPlan(store, job)])
  const names = planned.map(({ name }) => name)
  return withLost(job, { planned, stored: await readResults(store, job, names), tasks: options?.tasks ?? [] })
}

function lostResult(job: string, rollout: PlannedRollout, taskChecksum: string): RolloutResult {
  const now = new Date().toISOString()
  return {
    version: 1,
    id: rolloutId(job, rollout.name),
    job,
    ...rollout,
    taskChecksum,
    state: 'failed',
    failure: { code: 'internal', message: 'Its workflow ended without a result: see it in the Temporal UI.' },
    turns: 0,
    usage: {},
    incarnations: 0,
    gradingAttempts: 0,
    startedAt: now,
    finishedAt: now,
    phases: {},
  }
}
