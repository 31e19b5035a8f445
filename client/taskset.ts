import { randomInt } from 'node:crypto'
import { resolve } from 'node:path'
import { loadTaskset } from '../tasks/load-taskset.ts'
import type { Task } from '../tasks/task.ts'
import { checkRunOptions } from './check-run-options.ts'
import { environmentOfProcess } from './environment.ts'
import type { Job } from './job.ts'
import { prepareJobOptions } from './job-options.ts'
import { assertJobId, launchJob } from './launch-job.ts'
import type { RunOptions } from './run-options.ts'
import { Schedule } from './schedule.ts'
import type { ScheduleOptions } from './schedule-options.ts'

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
    assertJobId(id)
    const environment = run.environment ?? environmentOfProcess()
    const prepared = await prepareJobOptions(this, run, environment.workingDirectory)
    return await launchJob({
      id,
      prepared,
      tasks: this.tasks,
      environment,
      worker: run.worker ?? 'own',
      onProgress: run.onProgress ?? (() => {}),
    })
  }

  /**
   * Creates a schedule that runs this taskset again and again and compares each job with an earlier one. The tasks and
   * options of now are pinned.
   * @throws RollcallError `configuration-invalid`, `agent-invalid`, `job-conflict` when the name is taken
   */
  async schedule(options: ScheduleOptions): Promise<Schedule> {
    return await Schedule.create(this, options)
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
