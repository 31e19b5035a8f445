import { randomInt } from 'node:crypto'
import { resolve } from 'node:path'
import { RollcallError } from '../protocol/failure.ts'
import { jobIdPattern } from '../protocol/names.ts'
import { findJobOptions, readSummary } from '../results/read-job.ts'
import { openStore } from '../store/open-store.ts'
import { loadTaskset } from '../tasks/load-taskset.ts'
import type { Task } from '../tasks/task.ts'
import { checkRunOptions } from './check-run-options.ts'
import { environmentOfProcess, proveUsable } from './environment.ts'
import { connectTemporal } from './connect.ts'
import type { TemporalConnection } from './connect.ts'
import { Job, liveJob } from './job.ts'
import { prepareJobOptions } from './job-options.ts'
import type { RunOptions } from './run-options.ts'
import { JobWorker } from './job-worker.ts'
import { assertSameOptions, startJob } from './start-job.ts'

/** An ordered set of tasks, loaded and validated. */
export class Taskset {
  readonly name: string
  readonly tasks: readonly Task[]

  private constructor(loaded: { name: string; tasks: readonly Task[] }) {
    this.name = loaded.name
    this.tasks = loaded.tasks
  }

  /**
   * Loads a folder of Harbor task directories, or a single one.
   * @throws RollcallError `task-invalid` with every problem of every task
   */
  static async load(path: string): Promise<Taskset> {
    return new Taskset(await loadTaskset(resolve(path)))
  }

  /**
   * Starts a job, or attaches to the one of that id when its options are the same. Returns when the job runs; it goes
   * on without this process.
   * @throws RollcallError `configuration-invalid`, `agent-invalid`, `job-conflict` naming the difference, `job-lost`
   */
  async run(run: RunOptions = {}): Promise<Job> {
    checkRunOptions(run)
    const id = run.job ?? defaultJobId(this.name, new Date())
    if (!jobIdPattern.test(id)) {
      throw new RollcallError(
        'configuration-invalid',
        `Job id is ${JSON.stringify(id)}: expected letters, digits, - and _, at most 100 characters`,
      )
    }
    const environment = run.environment ?? environmentOfProcess()
    const prepared = await prepareJobOptions(this, run, environment.workingDirectory)
    const onProgress = run.onProgress ?? (() => {})
    await proveUsable(environment)
    const store = openStore(environment.storeUrl)
    const known = await findJobOptions(store, id)
    if (known !== undefined) assertSameOptions(id, known, prepared.options)
    if ((await readSummary(store, id)) !== undefined) return new Job({ id, store, attached: true })

    const worker = run.worker === 'shared' ? undefined : new JobWorker(id, environment, onProgress)
    let temporal: TemporalConnection | undefined
    try {
      // The worker comes up while this connects and uploads the tasks.
      if (known === undefined) await worker?.start()
      temporal = await connectTemporal({ ...environment, onProgress })
      if (known !== undefined) await worker?.ensure(temporal)
      const start = { id, tasks: this.tasks, ...prepared, store, temporal, worker: run.worker ?? 'own', onProgress }
      const { attached } = await startJob(start)
      return liveJob({ id, store, temporal, worker, environment, onProgress, attached })
    } catch (error) {
      worker?.stop()
      await temporal?.close()
      throw error
    }
  }
}

/** `<taskset>-<UTC time>-<4 characters>`, chosen once by the client. */
function defaultJobId(taskset: string, now: Date): string {
  const name = taskset.replaceAll(/[^A-Za-z0-9_-]+/g, '-').replace(/^[^A-Za-z0-9]+/, '') || 'job'
  const time = now
    .toISOString()
    .replaceAll(/[-:]|\.\d+Z$/g, '')
    .replace('T', '-')
  const suffix = randomInt(36 ** 4)
    .toString(36)
    .padStart(4, '0')
  return `${name.slice(0, 60)}-${time}-${suffix}`
}
