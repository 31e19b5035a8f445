import { RollcallError } from '../protocol/failure.ts'
import { jobIdPattern } from '../protocol/names.ts'
import { findJobOptions, readSummary } from '../results/read-job.ts'
import { openStore } from '../store/open-store.ts'
import type { Task } from '../tasks/task.ts'
import { connectTemporal } from './connect.ts'
import type { TemporalConnection } from './connect.ts'
import { proveUsable } from './environment.ts'
import type { ClientEnvironment } from './environment.ts'
import { Job, liveJob } from './job.ts'
import type { PreparedOptions } from './job-options.ts'
import { JobWorker } from './job-worker.ts'
import { startPools } from './sandboxes/start-pool.ts'
import { assertSameOptions, startJob } from './start-job.ts'

export interface JobLaunch {
  readonly id: string
  readonly prepared: PreparedOptions
  /** Those that may not be in the store yet. */
  readonly tasks: readonly Task[]
  readonly environment: ClientEnvironment
  readonly worker: 'own' | 'shared'
  readonly onProgress: (line: string) => void
}

/**
 * Starts a job with its worker, or attaches to the one of that id when its options are the same. Returns when the job
 * runs; it goes on without this process.
 * @throws RollcallError `configuration-invalid`, `job-conflict` naming the difference, `job-lost`
 */
export async function launchJob(launch: JobLaunch): Promise<Job> {
  const { id, prepared, environment, onProgress } = launch
  await proveUsable(environment)
  const store = openStore(environment.storeUrl)
  const known = await findJobOptions(store, id)
  if (known !== undefined) assertSameOptions(id, known, prepared.options)
  if ((await readSummary(store, id)) !== undefined) return new Job({ id, store, attached: true })

  const worker = launch.worker === 'shared' ? undefined : new JobWorker(id, environment, onProgress)
  let temporal: TemporalConnection | undefined
  try {
    // The worker comes up while this connects and uploads the tasks.
    if (known === undefined) await worker?.start()
    temporal = await connectTemporal({ ...environment, onProgress })
    if (known !== undefined) await worker?.ensure(temporal)
    await startPoolsOf(launch, temporal)
    const { attached } = await startJob({ ...launch, ...prepared, store, temporal })
    return liveJob({ id, store, temporal, worker, environment, onProgress, attached })
  } catch (error) {
    worker?.stop()
    await temporal?.close()
    throw error
  }
}

/** Before the job, so that what cannot be is said before anything starts. */
async function startPoolsOf(
  { prepared, environment, onProgress }: JobLaunch,
  temporal: TemporalConnection,
): Promise<void> {
  const { pools } = prepared.options
  if (pools === undefined) return
  const profiles = Object.values(pools.profiles)
  const started = await startPools({ temporal, environment, onProgress, profiles, pool: pools.name })
  for (const pool of started) await pool.close()
}

/** @throws RollcallError `configuration-invalid` */
export function assertJobId(id: string): void {
  if (jobIdPattern.test(id)) return
  throw new RollcallError(
    'configuration-invalid',
    `Job id is ${JSON.stringify(id)}: expected letters, digits, - and _, at most 100 characters`,
  )
}
