import { randomInt } from 'node:crypto'
import { resolve } from 'node:path'
import { fileURLToPath } from 'node:url'
import { RollcallError } from '../protocol/failure.ts'
import { openStore } from '../store/open-store.ts'
import type { Selection } from '../protocol/job.ts'
import type { RuntimeConfig } from '../protocol/runtime-config.ts'
import type { DefinedTask } from '../tasks/define-task.ts'
import { loadSources, loadTaskset, rowSources } from '../tasks/load-taskset.ts'
import type { LoadedTaskset } from '../tasks/load-taskset.ts'
import { selectTasks } from '../tasks/select-tasks.ts'
import { fetchTask } from '../tasks/task-copy.ts'
import { bundleTasks, checkDefinitions } from '../tasks/task-module.ts'
import type { TaskBundle } from '../tasks/task-module.ts'
import type { Task } from '../tasks/task.ts'
import { checkRunOptions } from './check-run-options.ts'
import { environmentOfProcess } from './environment.ts'
import type { ClientEnvironment } from './environment.ts'
import { askedVariables, describeAsked } from './host-consent.ts'
import type { AskedVariable } from './host-consent.ts'
import type { Job } from './job.ts'
import { prepareJobOptions, runtimesOf } from './job-options.ts'
import { atNode } from './node-choice.ts'
import { assertJobId, launchJob } from './launch-job.ts'
import type { RunOptions } from './run-options.ts'
import type { Schedule } from './schedule.ts'
import type { ScheduleOptions } from './schedule-options.ts'

/** An ordered set of tasks, loaded and validated. */
export class Taskset {
  readonly name: string
  readonly tasks: readonly Task[]
  /** What its file says for all tasks; each task's own goes over it. */
  readonly runtime: RuntimeConfig | undefined
  /** How its tasks were chosen, as the job keeps it. */
  readonly selection: Selection | undefined
  /** Bundles of grader functions, to be put into the store. */
  readonly bundles: readonly TaskBundle[]

  private constructor(loaded: LoadedTaskset & { selection?: Selection }) {
    this.name = loaded.name
    this.tasks = loaded.tasks
    this.runtime = loaded.runtime
    this.selection = loaded.selection
    this.bundles = loaded.bundles
  }

  /**
   * Loads a folder of tasks, a single task directory, or a file of tasks (`.jsonl`, `.yaml`, `.toml`, `.ts`).
   * @param options.environment where the cache is; default: from the process
   * @throws RollcallError `task-invalid` with every problem of every task
   */
  static async load(path: string, options: { environment?: ClientEnvironment } = {}): Promise<Taskset> {
    const { cacheDirectory, workingDirectory } = options.environment ?? environmentOfProcess()
    return new Taskset(await loadTaskset(resolve(workingDirectory, path), { cacheDirectory }))
  }

  /**
   * Tasks that a program has made with `defineTask`.
   * @param options.name default `tasks`
   * @param options.module `import.meta.url` of the module that exports them: needed for `grade`, which workers load
   *   from a bundle of it. That module must only define: it is run on workers, too.
   * @throws RollcallError `task-invalid` with every problem of every task
   */
  static async from(
    tasks: readonly DefinedTask[],
    options: { name?: string; module?: string; runtime?: RuntimeConfig; environment?: ClientEnvironment } = {},
  ): Promise<Taskset> {
    const { cacheDirectory, workingDirectory } = options.environment ?? environmentOfProcess()
    const { module, name = 'tasks', runtime } = options
    const path = module === undefined ? resolve(workingDirectory, name) : modulePath(module)
    const bundle = module === undefined ? undefined : await bundleTasks(path)
    const checked = checkDefinitions(tasks, { path, bundle })
    const bundles = checked.bundle === undefined ? [] : [checked.bundle]
    const sources = { name, bundles, sources: rowSources(checked.tasks), problems: checked.problems }
    return new Taskset(await loadSources({ ...sources, ...(runtime === undefined ? {} : { runtime }) }, cacheDirectory))
  }

  /**
   * The tasks of an earlier job, out of the store.
   * @throws RollcallError `configuration-invalid` when the store does not have them
   */
  static async restore(
    kept: { name: string; tasks: readonly { name: string; checksum: string }[]; runtime?: RuntimeConfig | undefined },
    options: { environment?: ClientEnvironment } = {},
  ): Promise<Taskset> {
    const { storeUrl, cacheDirectory } = options.environment ?? environmentOfProcess()
    const store = openStore(storeUrl)
    const tasks: Task[] = []
    for (const { name, checksum } of kept.tasks) {
      const task = await fetchTask(store, cacheDirectory, checksum).catch((error: unknown) => {
        throw notKept(error, name, store.url)
      })
      tasks.push({ ...task, name })
    }
    const { name, runtime } = kept
    return new Taskset({ name, tasks, bundles: [], ...(runtime === undefined ? {} : { runtime }) })
  }

  /** The tasks for which `keep` is true. @throws RollcallError `configuration-invalid` when none is */
  filter(keep: (task: Task) => boolean): Taskset {
    const tasks = this.tasks.filter(keep)
    if (tasks.length > 0) return this.#with(tasks, this.selection)
    throw new RollcallError('configuration-invalid', `No task is left: the filter is false for all of ${this.name}`)
  }

  /**
   * By name, metadata, seed and limit, in that order.
   * @throws RollcallError `configuration-invalid` when none is left, saying why
   */
  select(selection: Selection): Taskset {
    return this.#with(selectTasks(this.tasks, selection), selection)
  }

  #with(tasks: readonly Task[], selection: Selection | undefined): Taskset {
    const { name, runtime, bundles } = this
    return new Taskset({
      name,
      tasks,
      bundles,
      ...(runtime === undefined ? {} : { runtime }),
      ...(selection === undefined || Object.keys(selection).length === 0 ? {} : { selection }),
    })
  }

  /** Variables of the host that its tasks, and the runtime of a run, ask for by `${VAR}`. */
  askedVariables(run: Pick<RunOptions, 'runtime' | 'provider'> = {}): AskedVariable[] {
    return askedVariables(this.tasks, runtimesOf(this, run))
  }

  /**
   * Starts a job, or attaches to the one of that id when its options are the same. Returns when the job runs; it goes
   * on without this process.
   * @throws RollcallError `configuration-invalid`, `agent-invalid`, `job-conflict` naming the difference, `job-lost`
   */
  async run(given: RunOptions = {}): Promise<Job> {
    checkRunOptions(given)
    const environment = given.environment ?? environmentOfProcess()
    const run = await atNode(given, environment)
    const id = run.job ?? defaultJobId(this.name, new Date())
    assertJobId(id)
    const prepared = await prepareJobOptions(this, run, environment)
    const onProgress = run.onProgress ?? (() => {})
    const asked = this.askedVariables(run)
    if (asked.length > 0) onProgress(`variables of this host that sandboxes get:\n${describeAsked(asked).join('\n')}`)
    const { tasks } = this
    return await launchJob({ id, prepared, tasks, environment, worker: run.worker ?? 'own', onProgress })
  }

  /**
   * Creates a schedule that runs this taskset again and again and compares each job with an earlier one. The tasks and
   * options of now are pinned.
   * @throws RollcallError `configuration-invalid`, `agent-invalid`, `job-conflict` when the name is taken
   */
  async schedule(options: ScheduleOptions): Promise<Schedule> {
    const { Schedule: schedules } = await import('./schedule.ts')
    return await schedules.create(this, options)
  }
}

function notKept(error: unknown, task: string, storeUrl: string): unknown {
  if (!(error instanceof RollcallError) || error.code !== 'store-not-shared') return error
  const remedy = 'name the taskset itself, as rollcall run TASKSET -c FILE'
  return new RollcallError('configuration-invalid', `The store ${storeUrl} does not have task ${task}: ${remedy}`)
}

function modulePath(module: string): string {
  return module.startsWith('file:') ? fileURLToPath(module) : resolve(module)
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
