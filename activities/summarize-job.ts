import type { JobRef, SummaryResult } from '../protocol/activities.ts'
import type { RolloutResult } from '../protocol/grade.ts'
import type { JobOptions, PlannedRollout } from '../protocol/job.ts'
import { rolloutId } from '../protocol/names.ts'
import { readResults, readStoredPlan } from '../results/read-job.ts'
import { summarizeResults } from '../results/summary.ts'
import { lockKey, summaryKey } from '../store/keys.ts'
import type { JobContext } from './job-context.ts'
import { putJsonOnce } from '../store/stored-json.ts'

/** The job's summary and lock file from the rollouts' results. Safe to run twice: `putOnce`. */
export async function summarizeJob(
  input: JobRef & { cancelled: boolean },
  { context, versions }: { context: JobContext; versions: Readonly<Record<string, string>> },
): Promise<SummaryResult> {
  const { store, options } = context
  const { rollouts: planned = [], tags, runtimes = {} } = (await readStoredPlan(store, input.job)) ?? {}
  const stored = await readResults(
    store,
    input.job,
    planned.map((rollout) => rollout.name),
  )
  const results = input.cancelled ? stored : withLost(input.job, { planned, stored, tasks: options.tasks })
  await putJsonOnce(store, lockKey(input.job), {
    version: 1,
    rollcall: versions,
    ...(options.parentJob === undefined ? {} : { parentJob: options.parentJob }),
    taskset: options.taskset,
    agents: options.agents,
    tasks: options.tasks,
    provider: options.provider,
    imageMap: options.imageMap,
    images: imagesByTask(results),
    runtimes,
    ...(options.selection === undefined ? {} : { selection: options.selection }),
  })
  const { graded, failed, cancelled, mean } = await putJsonOnce(
    store,
    summaryKey(input.job),
    summarizeResults({ job: input.job, results, planned, ...(tags && { tags }), parentJob: options.parentJob }),
  )
  return { graded, failed, cancelled, ...(mean === undefined ? {} : { mean }) }
}

/** A rollout workflow that ended without a result was terminated by hand or broke: a failure, never a wrong answer. */
function withLost(
  job: string,
  at: { planned: readonly PlannedRollout[]; stored: readonly RolloutResult[]; tasks: JobOptions['tasks'] },
): RolloutResult[] {
  const known = new Set(at.stored.map((result) => result.name))
  const checksums = new Map(at.tasks.map(({ name, checksum }) => [name, checksum]))
  const lost = at.planned
    .filter(({ name }) => !known.has(name))
    .map((rollout) => lostResult(job, rollout, checksums.get(rollout.task) ?? ''))
  return [...at.stored, ...lost]
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

/** What sandboxes were really made from, by task. */
function imagesByTask(results: readonly RolloutResult[]): Record<string, string[]> {
  const images: Record<string, string[]> = {}
  for (const { task, sandbox, verifierImages = [] } of results) {
    const found = [...(sandbox === undefined ? [] : [sandbox.image]), ...verifierImages]
    for (const image of found) if (!images[task]?.includes(image)) (images[task] ??= []).push(image)
  }
  return images
}
