import { resolve } from 'node:path'
import type { JobRef, PreparedJob } from '../protocol/activities.ts'
import { RollcallError } from '../protocol/failure.ts'
import { jobOptionsSchema } from '../protocol/job.ts'
import type { JobOptions } from '../protocol/job.ts'
import { counted } from '../protocol/names.ts'
import { scheduleConfigSchema } from '../protocol/schedule.ts'
import type { ScheduleConfig, ScheduledStart } from '../protocol/schedule.ts'
import { jobKey, proofKey, summaryKey } from '../store/keys.ts'
import type { Store } from '../store/store.ts'
import { putJsonOnce } from '../store/stored-json.ts'
import { loadTaskset } from '../tasks/load-taskset.ts'
import { selectTasks } from '../tasks/select-tasks.ts'
import { uploadTasks } from '../tasks/task-copy.ts'

/**
 * Writes what `Taskset.run` would have written for a job that a schedule starts. Safe to run twice: the options are
 * `putOnce`, so tasks that a path gave at the first attempt stay those of the job.
 */
export async function prepareScheduledJob(
  input: JobRef & ScheduledStart,
  { store, cacheDirectory }: { store: Store; cacheDirectory: string },
): Promise<PreparedJob> {
  const config = await readScheduleConfig(store, input.config)
  const asked = await optionsOf(config, { store, cacheDirectory })
  const options = jobOptionsSchema.parse(await putJsonOnce(store, jobKey(input.job), asked))
  await store.putOnce(proofKey(input.job), Buffer.from(new Date().toISOString()))
  const agents = options.agents.map(({ label }) => label).join(', ')
  return {
    proofKey: proofKey(input.job),
    provider: options.provider.name,
    concurrency: options.concurrency,
    isOver: (await store.get(summaryKey(input.job))) !== undefined,
    summary: `${options.taskset} · ${counted(options.tasks.length, 'task')} · ${agents}`,
  }
}

/** @throws RollcallError `store-not-shared` */
export async function readScheduleConfig(store: Store, key: string): Promise<ScheduleConfig> {
  const bytes = await store.get(key)
  if (bytes !== undefined) return scheduleConfigSchema.parse(JSON.parse(bytes.toString()))
  throw new RollcallError(
    'store-not-shared',
    `This worker's store ${store.url} lacks ${key}, the schedule's configuration: whoever creates schedules and the ` +
      'workers must use one store',
  )
}

/** The schedule's own copy of the tasks, or what is at the path on this worker now, selected as the schedule says. */
async function optionsOf(
  { options, workerPath }: ScheduleConfig,
  { store, cacheDirectory }: { store: Store; cacheDirectory: string },
): Promise<JobOptions> {
  if (workerPath === undefined) return options
  const { tasks: found, bundles, runtime } = await loadTaskset(resolve(workerPath), { cacheDirectory })
  const tasks = selectTasks(found, options.selection ?? {})
  await uploadTasks(store, tasks)
  for (const { key, bytes } of bundles) await store.putOnce(key, bytes)
  const { tasksetRuntime: _, ...rest } = options
  return {
    ...rest,
    ...(runtime === undefined ? {} : { tasksetRuntime: runtime }),
    tasks: tasks.map(({ name, checksum }) => ({ name, checksum })),
  }
}
