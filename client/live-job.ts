import { setTimeout as delay } from 'node:timers/promises'
import type { WorkflowHandle } from '@temporalio/client'
import type { ClientEnvironment } from './environment.ts'
import type { TemporalConnection } from './connect.ts'
import type { Store } from '../store/store.ts'
import { grpcCodeOf, grpcCodes } from './grpc-codes.ts'
import { missingWorker, runningStep } from './hindrance.ts'
import type { RunningStep } from './hindrance.ts'
import { endingOf } from './job-ending.ts'
import type { JobEnding } from './job-ending.ts'
import type { JobLook } from './job-events.ts'
import { endedSince, viewJob, viewUnservedJob } from './job-view.ts'
import type { JobView } from './job-view.ts'
import type { JobWorker } from './job-worker.ts'
import { keepServerUp } from './server/keep-up.ts'
import { resolveTemporal } from './temporal-config.ts'

const tryAgainAfterMs = 500

/** A job that Temporal knows, with this client's connection and, where it has one of its own, its worker. */
export class LiveJob {
  readonly handle: WorkflowHandle
  readonly worker: JobWorker | undefined
  /** Settles when the job's workflow has closed. */
  readonly ending: Promise<JobEnding>
  readonly #temporal: TemporalConnection
  readonly #environment: ClientEnvironment
  readonly #onProgress: (line: string) => void
  readonly #counts = new Map<string, number>()
  readonly #letGo = new AbortController()
  readonly #store: Store
  /** Settles when it is found that no worker serves the job's workflow. */
  readonly #unserved = Promise.withResolvers<void>()

  constructor(at: {
    id: string
    store: Store
    temporal: TemporalConnection
    worker: JobWorker | undefined
    environment: ClientEnvironment
    onProgress: (line: string) => void
  }) {
    this.#temporal = at.temporal
    this.#store = at.store
    this.worker = at.worker
    this.#environment = at.environment
    this.#onProgress = at.onProgress
    this.handle = at.temporal.client.workflow.getHandle(at.id)
    this.ending = this.#untilEnded()
    this.ending.catch(() => undefined)
    void this.#noticeMissingWorker()
    if (at.temporal.embedded) void this.#keepServerUp()
  }

  /** What the job's workflow says, or, where no worker answers for it, what store and server know. */
  async view(): Promise<JobView> {
    const unserved = this.#unserved.promise.then(() => this.persistently(() => this.#viewUnserved()))
    return await Promise.race([this.persistently(() => this.#viewServed()), unserved])
  }

  async #viewServed(): Promise<JobView> {
    try {
      return await viewJob(this.#temporal.client, this.handle.workflowId)
    } catch (error) {
      if (!isSilent(error)) throw error
      return await this.#viewUnserved()
    }
  }

  #viewUnserved(): Promise<JobView> {
    return viewUnservedJob({ client: this.#temporal.client, store: this.#store, job: this.handle.workflowId })
  }

  /** What is running, and what has ended since this client last looked. */
  async look(): Promise<JobLook> {
    const { status, segments } = await this.persistently(() => viewJob(this.#temporal.client, this.handle.workflowId))
    const ended: string[] = []
    for (const segment of segments) {
      const from = this.#counts.get(segment.workflowId) ?? 0
      const names = await this.persistently(() => endedSince(this.#temporal.client, segment, from))
      this.#counts.set(segment.workflowId, from + names.length)
      ended.push(...names)
    }
    return { state: status.state, total: status.total, running: segments.flatMap(({ running }) => running), ended }
  }

  async runningStep(rollout: string): Promise<RunningStep | undefined> {
    const job = this.handle.workflowId
    return await this.persistently(() => runningStep(this.#temporal.client, job, rollout))
  }

  /** @returns false when the job was over already, which the server does not tell who cancels */
  async cancel(): Promise<boolean> {
    const { status } = await this.persistently(() => this.handle.describe())
    if (status.name !== 'RUNNING') return false
    await this.persistently(() => this.handle.cancel())
    return true
  }

  /** Repeats a call while the server is away, starting the embedded one again where it has died. */
  async persistently<Result>(call: () => Promise<Result>): Promise<Result> {
    for (;;) {
      try {
        return await call()
      } catch (error) {
        if (this.#letGo.signal.aborted || !isPassing(error)) throw error
        this.#onProgress(silence(error))
      }
      await delay(tryAgainAfterMs)
      if (this.#temporal.embedded) await resolveTemporal({ ...this.#environment, onProgress: this.#onProgress })
    }
  }

  async close(): Promise<void> {
    this.#letGo.abort()
    this.worker?.letGo()
    await this.#temporal.close()
  }

  /** Nobody should wait without knowing for whom. A convenience: what fails here fails where it matters too. */
  async #noticeMissingWorker(): Promise<void> {
    const at = { job: this.handle.workflowId, ownWorker: this.worker !== undefined }
    const missing = await missingWorker(this.#temporal, at).catch(() => undefined)
    if (missing === undefined || this.#letGo.signal.aborted) return
    this.#onProgress(missing.message)
    if (missing.of === 'workflows') this.#unserved.resolve()
  }

  #keepServerUp(): Promise<void> {
    const onProgress = this.#onProgress
    return keepServerUp({ ...this.#environment, onProgress, address: this.#temporal.address, stop: this.#letGo.signal })
  }

  async #untilEnded(): Promise<JobEnding> {
    try {
      await this.persistently(() => this.handle.result())
      return { state: 'completed' }
    } catch (error) {
      return endingOf(error, this.handle.workflowId)
    } finally {
      this.worker?.letGo()
    }
  }
}

function isPassing(error: unknown): boolean {
  const code = grpcCodeOf(error)
  return code === grpcCodes.cancelled || code === grpcCodes.unavailable || isSilent(error)
}

/** No worker of the job has answered: in time, or lately at all. */
function isSilent(error: unknown): boolean {
  const code = grpcCodeOf(error)
  return code === grpcCodes.deadlineExceeded || code === grpcCodes.failedPrecondition
}

/** The server itself answers late only under load; what has to come from a worker may be missing for longer. */
function silence(error: unknown): string {
  return isSilent(error)
    ? 'no worker of the job has answered in time; trying again'
    : 'the Temporal server does not answer; trying again'
}
