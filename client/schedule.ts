import { ScheduleAlreadyRunning, ScheduleNotFoundError, ScheduleOverlapPolicy } from '@temporalio/client'
import type { ScheduleDescription, ScheduleHandle } from '@temporalio/client'
import { RollcallError } from '../protocol/failure.ts'
import { counted, scheduledJobId, sharedTaskQueue } from '../protocol/names.ts'
import { lastGoodBaseline, scheduleConfigSchema } from '../protocol/schedule.ts'
import type { ScheduleConfig, ScheduleVerdict } from '../protocol/schedule.ts'
import { findJobOptions } from '../results/read-job.ts'
import { readVerdicts } from '../results/schedule-history.ts'
import { notifiedKey } from '../store/keys.ts'
import { openStore } from '../store/open-store.ts'
import type { Store } from '../store/store.ts'
import { uploadTasks } from '../tasks/task-copy.ts'
import type { NightlyInput } from '../workflows/nightly.ts'
import { timing } from '../workflows/timing.ts'
import { connectTemporal } from './connect.ts'
import type { TemporalConnection } from './connect.ts'
import { environmentOfProcess, proveUsable } from './environment.ts'
import type { ClientEnvironment } from './environment.ts'
import { grpcCodeOf, grpcCodes } from './grpc-codes.ts'
import { isPolled } from './job-worker.ts'
import { prepareJobOptions } from './job-options.ts'
import { atNode } from './node-choice.ts'
import type { JobTaskset } from './job-options.ts'
import { scheduleConfig, storedConfig } from './schedule-options.ts'
import type { ScheduleOptions } from './schedule-options.ts'
import { ensureSearchAttributes } from './search-attributes.ts'
import { ensureSharedWorker } from './shared-worker.ts'

/** A schedule as `list` and `show` tell it. */
export interface ScheduleState {
  readonly name: string
  readonly taskset: string
  readonly tasks: number
  readonly cron: string
  readonly timeZone: string
  readonly paused: boolean
  /** Why it is paused, as whoever paused it said. */
  readonly note?: string
  /** ISO 8601, at most ten. */
  readonly next: readonly string[]
  /** Jobs that run now. */
  readonly running: readonly string[]
  /** Starts that were missed: the server was away for longer than the catch-up window, or the job before still ran. */
  readonly missed: { readonly catchup: number; readonly overlap: number }
  /** Whether a shared worker asks for work; without one nothing starts. */
  readonly served: boolean
}

interface ScheduleEnvironment {
  readonly environment?: ClientEnvironment
  readonly onProgress?: (line: string) => void
}

/** A nightly benchmark: a Temporal Schedule that starts a job of the same taskset each time, and judges it. */
export class Schedule {
  readonly name: string
  readonly store: Store
  readonly #temporal: TemporalConnection

  private constructor(at: { name: string; store: Store; temporal: TemporalConnection }) {
    this.name = at.name
    this.store = at.store
    this.#temporal = at.temporal
  }

  /** @throws RollcallError `configuration-invalid` when there is none of that name */
  static async open(name: string, { environment = environmentOfProcess(), onProgress }: ScheduleEnvironment = {}) {
    const temporal = await connectTemporal({ ...environment, onProgress: onProgress ?? (() => {}) })
    const schedule = new Schedule({ name, store: openStore(environment.storeUrl), temporal })
    try {
      await schedule.#describe()
      return schedule
    } catch (error) {
      await temporal.close()
      throw error
    }
  }

  /** Every schedule that Rollcall has made in this namespace, by name; one that this store cannot tell of is passed over, and said. */
  static async list(at: ScheduleEnvironment = {}): Promise<ScheduleState[]> {
    const { environment = environmentOfProcess(), onProgress = () => {} } = at
    const temporal = await connectTemporal({ ...environment, onProgress })
    try {
      const names: string[] = []
      for await (const { scheduleId, memo } of temporal.client.schedule.list()) {
        if (memo?.['rollcall'] === 1) names.push(scheduleId)
      }
      const store = openStore(environment.storeUrl)
      const states = names.toSorted().map(async (name) => {
        const state = new Schedule({ name, store, temporal }).state()
        return await state.catch((error: unknown) => {
          if (!(error instanceof RollcallError)) throw error
          onProgress(error.message)
        })
      })
      return (await Promise.all(states)).filter((state) => state !== undefined)
    } finally {
      await temporal.close()
    }
  }

  /** For `Taskset.schedule`: pins the taskset's copy. @throws RollcallError `job-conflict` for a taken name */
  static async create(taskset: JobTaskset, options: ScheduleOptions): Promise<Schedule> {
    return await prepared(taskset, options, async ({ temporal, schedule }, store) => {
      await temporal.client.schedule.create({ scheduleId: options.name, ...schedule, memo: { rollcall: 1 } })
      return new Schedule({ name: options.name, store, temporal })
    })
  }

  /** Uploads the taskset anew and replaces every option; jobs that run go on with what they were started with. */
  static async update(taskset: JobTaskset, options: ScheduleOptions): Promise<Schedule> {
    return await prepared(taskset, options, async ({ temporal, schedule: changed }, store) => {
      const schedule = new Schedule({ name: options.name, store, temporal })
      await schedule.#describe()
      await schedule.#handle.update(({ state }) => ({ ...changed, state }))
      return schedule
    })
  }

  async state(): Promise<ScheduleState> {
    const described = await this.#describe()
    const { info, state } = described
    const config = await this.#config(described)
    const { cron, timeZone } = config
    return {
      name: this.name,
      taskset: config.workerPath ?? config.options.taskset,
      tasks: config.options.tasks.length,
      cron,
      timeZone,
      paused: state.paused,
      ...(state.note === undefined || state.note === '' ? {} : { note: state.note }),
      next: info.nextActionTimes.map((time) => time.toISOString()),
      running: info.runningActions.map(({ workflow }) => jobOfStart(this.name, workflow.workflowId)),
      missed: { catchup: info.numActionsMissedCatchupWindow, overlap: info.numActionsSkippedOverlap },
      served: await isPolled(this.#temporal, sharedTaskQueue),
    }
  }

  /** The options that its next job will be made from. */
  async config(): Promise<ScheduleConfig> {
    return await this.#config(await this.#describe())
  }

  /** What its jobs came to, the earliest first; from the store alone. */
  history(): Promise<ScheduleVerdict[]> {
    return readVerdicts(this.store, this.name)
  }

  /** The latest job, when not all that are to be told its verdict have been told. */
  async untold(): Promise<string | undefined> {
    const latest = (await this.history()).at(-1)
    if (latest === undefined) return undefined
    const { notifyFile, notifyUrl } = await this.config()
    const whom = [notifyFile === undefined ? [] : ['file' as const], notifyUrl === undefined ? [] : ['url' as const]]
    const told = await Promise.all(whom.flat().map((one) => this.store.get(notifiedKey(latest.job, one))))
    return told.includes(undefined) ? latest.job : undefined
  }

  /** Starts a job now, unless one of this schedule runs. */
  async trigger(): Promise<void> {
    await this.#handle.trigger(ScheduleOverlapPolicy.SKIP)
  }

  async pause(note = 'Paused by rollcall'): Promise<void> {
    await this.#handle.pause(note)
  }

  async resume(): Promise<void> {
    await this.#handle.unpause('Resumed by rollcall')
  }

  /** Starts the jobs that were due between two times, one after another. Those that have run already do not run again. */
  async backfill(range: { start: Date; end: Date }): Promise<void> {
    await this.#handle.backfill({ ...range, overlap: ScheduleOverlapPolicy.BUFFER_ALL })
  }

  /** Its jobs, their results and its history stay. */
  async delete(): Promise<void> {
    await this.#handle.delete()
  }

  async close(): Promise<void> {
    await this.#temporal.close()
  }

  get #handle(): ScheduleHandle {
    return this.#temporal.client.schedule.getHandle(this.name)
  }

  async #config({ action }: ScheduleDescription): Promise<ScheduleConfig> {
    const [input] = (action.args ?? []) as readonly (NightlyInput | undefined)[]
    const bytes = input && (await this.store.get(input.config))
    if (bytes) return scheduleConfigSchema.parse(JSON.parse(bytes.toString()))
    throw new RollcallError(
      'store-not-shared',
      `The store ${this.store.url} lacks what schedule ${this.name} is made from: use the store it was created with`,
    )
  }

  async #describe(): Promise<ScheduleDescription> {
    try {
      return await this.#handle.describe()
    } catch (error) {
      if (!(error instanceof ScheduleNotFoundError)) throw error
      throw new RollcallError(
        'configuration-invalid',
        `Schedule is ${JSON.stringify(this.name)}, which the server does not know: \`rollcall schedule list\` lists them`,
      )
    }
  }
}

interface Prepared {
  readonly temporal: TemporalConnection
  readonly schedule: ReturnType<typeof temporalSchedule>
}

/** Checks and uploads everything, then lets `save` make or change the Temporal Schedule. */
async function prepared(
  taskset: JobTaskset,
  options: ScheduleOptions,
  save: (prepared: Prepared, store: Store) => Promise<Schedule>,
): Promise<Schedule> {
  const { environment = environmentOfProcess(), onProgress = () => {} } = options
  const run = await atNode(options, environment)
  const { options: job, bundles } = await prepareJobOptions(taskset, run, environment)
  if (job.pools !== undefined) {
    throw new RollcallError('configuration-invalid', 'A schedule takes no sandboxes out of pools yet: leave --pool out')
  }
  const config = scheduleConfig(options, job)
  await proveUsable(environment)
  const store = openStore(environment.storeUrl)
  await assertBaseline(store, config)
  const temporal = await connectTemporal({ ...environment, onProgress })
  try {
    onProgress(`uploading ${counted(taskset.tasks.length, 'task')}`)
    await uploadTasks(store, taskset.tasks)
    for (const { key, bytes } of bundles) await store.putOnce(key, bytes)
    const { key, bytes } = storedConfig(config)
    await store.putOnce(key, bytes)
    const missing = await ensureSearchAttributes(temporal.connection, temporal.namespace)
    const input = { schedule: config.schedule, config: key, storeUrl: store.url, searchable: missing.length === 0 }
    const saved = await save({ temporal, schedule: temporalSchedule(config, input) }, store).catch((error: unknown) => {
      throw error instanceof ScheduleAlreadyRunning ? nameTaken(options.name) : refused(error, config)
    })
    await ensureSharedWorker({ temporal, environment, onProgress, what: 'schedules' })
    return saved
  } catch (error) {
    await temporal.close()
    throw error
  }
}

async function assertBaseline(store: Store, { baseline }: ScheduleConfig): Promise<void> {
  if (baseline === lastGoodBaseline || (await findJobOptions(store, baseline)) !== undefined) return
  throw new RollcallError(
    'configuration-invalid',
    `The schedule's baseline is ${JSON.stringify(baseline)}, a job that is not in the store ${store.url}: ` +
      `expected ${lastGoodBaseline} or the id of a job; \`rollcall status\` lists them`,
  )
}

function temporalSchedule(config: ScheduleConfig, input: NightlyInput) {
  const { cron, timeZone, catchupWindowMs, jitterMs, schedule } = config
  return {
    spec: { cronExpressions: [cron], timezone: timeZone, jitter: jitterMs },
    policies: { overlap: ScheduleOverlapPolicy.SKIP, catchupWindow: catchupWindowMs, pauseOnFailure: false },
    action: {
      type: 'startWorkflow' as const,
      workflowType: 'nightlyWorkflow',
      workflowId: schedule,
      taskQueue: sharedTaskQueue,
      args: [input],
      workflowTaskTimeout: timing.workflowTaskTimeoutMs,
      retry: { maximumAttempts: 1 },
      staticSummary: `nightly benchmark of ${config.workerPath ?? config.options.taskset}`,
    },
  }
}

function nameTaken(name: string): RollcallError {
  const message = `Schedule ${name} exists: choose another name, or \`rollcall schedule update ${name}\``
  return new RollcallError('job-conflict', message)
}

/** What only the server can tell of a cron expression or a time zone. */
function refused(error: unknown, { cron, timeZone }: ScheduleConfig): unknown {
  // The SDK makes a TypeError of what the server says about a spec.
  if (!(error instanceof TypeError) && grpcCodeOf(error) !== grpcCodes.invalidArgument) return error
  const reason = error instanceof Error ? (error.cause instanceof Error ? error.cause.message : error.message) : ''
  const message = `The schedule's cron is ${JSON.stringify(cron)} in ${timeZone}, which the server refuses: ${reason}`
  return new RollcallError('configuration-invalid', message)
}

/** The job that a start of a schedule runs: Temporal puts the time it was due behind the workflow's id. */
function jobOfStart(schedule: string, workflowId: string): string {
  return scheduledJobId(schedule, workflowId.slice(schedule.length + 1))
}
