import { setTimeout as delay } from 'node:timers/promises'
import { WorkflowNotFoundError } from '@temporalio/client'
import { RollcallError } from '../protocol/failure.ts'
import type { JobEvent, JobStatus } from '../protocol/events.ts'
import type { JobSummary } from '../protocol/grade.ts'
import { findJobOptions, readSummary } from '../results/read-job.ts'
import { openStore } from '../store/open-store.ts'
import type { Store } from '../store/store.ts'
import { concurrencyUpdate, pauseUpdate, resumeUpdate } from '../workflows/messages.ts'
import { connectTemporal, workflowUrl } from './connect.ts'
import type { TemporalConnection } from './connect.ts'
import { environmentOfProcess } from './environment.ts'
import type { ClientEnvironment } from './environment.ts'
import { forgottenJob } from './job-ending.ts'
import { jobEvents } from './job-events.ts'
import { statusOfSummary, storedStatus } from './job-view.ts'
import { JobWorker } from './job-worker.ts'
import { LiveJob } from './live-job.ts'
import { RunningRollouts } from './running-rollouts.ts'
import type { RunningRollout } from './running-rollouts.ts'
import type { AttachOptions } from './run-options.ts'

/** `progress` looks at this many running rollouts: more do not fit on a screen. */
const progressRows = 60
const lookEveryMs = 500

/** Where a job stands, and what runs of it now. */
export interface JobProgress {
  readonly status: JobStatus
  readonly running: readonly RunningRollout[]
}

/** One run of a taskset, running or over. A job that is over is read from the store alone. */
export class Job {
  readonly id: string
  readonly store: Store
  /** Link to the job in the Temporal UI, where that is known. */
  readonly uiUrl: string | undefined
  /** The job was there already. */
  readonly attached: boolean
  readonly #live: LiveJob | undefined
  readonly #rollouts: RunningRollouts

  /** For `Taskset.run` and `Job.attach`. */
  constructor(at: { id: string; store: Store; attached: boolean; uiUrl?: string | undefined; live?: LiveJob }) {
    this.id = at.id
    this.store = at.store
    this.uiUrl = at.uiUrl
    this.attached = at.attached
    this.#live = at.live
    const ask = async (rollout: string) => await at.live?.runningStep(rollout)
    this.#rollouts = new RunningRollouts({ store: at.store, job: at.id, ask })
  }

  /**
   * The job of that id, running or over; starts a worker of its own when none serves it.
   * @throws RollcallError `configuration-invalid` for an unknown id, `job-lost`
   */
  static async attach(id: string, options: AttachOptions = {}): Promise<Job> {
    const environment = options.environment ?? environmentOfProcess()
    const onProgress = options.onProgress ?? (() => {})
    const store = openStore(environment.storeUrl)
    if ((await findJobOptions(store, id)) === undefined) {
      throw new RollcallError(
        'configuration-invalid',
        `Job is ${JSON.stringify(id)}, which the store ${store.url} does not know: expected the id of an earlier run`,
      )
    }
    if ((await readSummary(store, id)) !== undefined) return new Job({ id, store, attached: true })
    const temporal = await connectTemporal({ ...environment, onProgress })
    const worker = options.worker === 'shared' ? undefined : new JobWorker(id, environment, onProgress)
    const job = liveJob({ id, store, temporal, worker, environment, onProgress, attached: true })
    try {
      const { status, taskQueue } = await temporal.client.workflow.getHandle(id).describe()
      if (!taskQueue.endsWith(id)) return job
      // It may have left sandboxes and rollouts that nobody tears down: a worker of its own does, and ends. One that
      // seems to poll may just have died, and of a job that is over nobody would notice later.
      if (status.name === 'TERMINATED') await worker?.start()
      if (status.name !== 'RUNNING') return job
      await worker?.ensure(temporal)
      void worker?.keepServed(temporal)
      return job
    } catch (error) {
      await job.close()
      throw error instanceof Error && error.name === 'WorkflowNotFoundError' ? await forgottenJob(job.store, id) : error
    }
  }

  async status(): Promise<JobStatus> {
    const summary = await readSummary(this.store, this.id)
    if (summary !== undefined || this.#live === undefined) return await this.#finalStatus(summary)
    const live = this.#live
    const asked = live.view().then(({ status }) => status)
    // A job that fails while it is planned has nobody left to answer.
    return await Promise.race([asked, live.ending.then(() => this.#finalStatus(undefined))])
  }

  /** The status and where each running rollout is. */
  async progress(): Promise<JobProgress> {
    const status = await this.status()
    if (this.#live === undefined || status.running === 0) return { status, running: [] }
    const { segments } = await this.#live.view()
    const names = segments.flatMap((segment) => segment.running).slice(0, progressRows)
    return { status, running: await this.#rollouts.look(names) }
  }

  /** Everything that happens, from the start or after the cursor of an earlier event, until the job is over. */
  events(options: { after?: string } = {}): AsyncIterable<JobEvent> {
    const live = this.#live
    const over: Promise<unknown> = live?.ending.catch(() => undefined) ?? Promise.resolve()
    return jobEvents(
      {
        job: this.id,
        store: this.store,
        look: () => this.#look(),
        wait: async () => void (await Promise.race([over, delay(lookEveryMs)])),
      },
      options.after,
    )
  }

  /**
   * The summary, when the job is over; also of a cancelled one, whose teardown it waits for.
   * @throws RollcallError with the code of what made planning fail, or `job-lost`
   */
  async result(): Promise<JobSummary> {
    if (this.#live !== undefined) {
      const ending = await Promise.race([this.#live.ending, ...(this.#live.worker ? [this.#live.worker.failed] : [])])
      if (ending.state === 'failed') throw ending.error
    }
    const summary = await readSummary(this.store, this.id)
    if (summary !== undefined) return summary
    throw new RollcallError('internal', `Job ${this.id} has ended without a summary in the store ${this.store.url}`)
  }

  /** No rollout begins until `resume`; those that run go on. */
  async pause(): Promise<void> {
    await this.#update(({ handle }) => handle.executeUpdate(pauseUpdate))
  }

  async resume(): Promise<void> {
    await this.#update(({ handle }) => handle.executeUpdate(resumeUpdate))
  }

  /** @param size rollouts at the same time, 1 to 10,000; those that run beyond it go on */
  async setConcurrency(size: number): Promise<void> {
    await this.#update(({ handle }) => handle.executeUpdate(concurrencyUpdate, { args: [size] }))
  }

  /**
   * Asks the job to cancel; `result` then waits until everything is torn down. Needs no worker.
   * @returns false for a job that is over, which stays as it is
   */
  async cancel(): Promise<boolean> {
    return (await this.#live?.cancel()) ?? false
  }

  /** Lets go of the connection; the job goes on. */
  async close(): Promise<void> {
    await this.#live?.close()
  }

  async #update(update: (live: LiveJob) => Promise<void>): Promise<void> {
    const live = this.#live
    if (live === undefined) throw this.#isOver()
    try {
      await live.persistently(() => update(live))
    } catch (error) {
      // One that was terminated has no summary, and so is not known to be over before it is asked.
      throw error instanceof WorkflowNotFoundError ? this.#isOver() : error
    }
  }

  #isOver(): RollcallError {
    return new RollcallError('configuration-invalid', `Job ${this.id} is over: expected a running job`)
  }

  async #look() {
    const live = this.#live
    if (live === undefined) return await this.#finalLook()
    return await Promise.race([live.look(), live.ending.then(() => this.#finalLook())])
  }

  async #finalLook() {
    const { state, total } = await this.#finalStatus(await readSummary(this.store, this.id))
    return { state, total, running: [], ended: [] }
  }

  async #finalStatus(summary: JobSummary | undefined): Promise<JobStatus> {
    if (summary === undefined) return { ...(await storedStatus(this.store, this.id)), state: 'failed' }
    return statusOfSummary(summary, (await findJobOptions(this.store, this.id))?.concurrency ?? 0)
  }
}

/** A job that Temporal runs, as `Taskset.run` and `Job.attach` hand it out. */
export function liveJob(at: {
  id: string
  store: Store
  temporal: TemporalConnection
  worker: JobWorker | undefined
  environment: ClientEnvironment
  onProgress: (line: string) => void
  attached: boolean
}): Job {
  const { id, store, temporal, attached } = at
  const uiUrl = temporal.uiUrl === undefined ? undefined : workflowUrl(temporal.uiUrl, temporal.namespace, id)
  return new Job({ id, store, attached, uiUrl, live: new LiveJob(at) })
}
