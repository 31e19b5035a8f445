import type { ChildProcess } from 'node:child_process'
import { readFileSync } from 'node:fs'
import { readFile } from 'node:fs/promises'
import { hostname } from 'node:os'
import { setTimeout as delay } from 'node:timers/promises'
import { RollcallError } from '../protocol/failure.ts'
import { jobTaskQueue } from '../protocol/names.ts'
import type { TemporalConnection } from './connect.ts'
import type { ClientEnvironment } from './environment.ts'
import { spawnWorker, workerLogPath } from './spawn-worker.ts'

/** A poller that has not asked for longer than a long poll takes is gone. */
const pollerGoneAfterMs = 90_000
/** A worker that ends sooner than this after its start has a reason that starting another will not mend. */
const diedAtOnceMs = 5_000
const restartDelayMs = 500
/** How often the client of a worker that it has not started looks whether it lives. */
const lookEveryMs = 2_000

/**
 * A job's own worker: a detached process with the caller's environment, on the job's queue. It outlives this client;
 * while this client watches the job, a worker that dies is replaced. Two at the same time do no harm: both serve.
 */
export class JobWorker {
  /** Rejects when a worker cannot be started. */
  readonly failed: Promise<never>
  readonly #job: string
  readonly #environment: ClientEnvironment
  #fail: (error: Error) => void = () => {}
  #watching = true
  #child: ChildProcess | undefined
  readonly #onProgress: (line: string) => void

  constructor(job: string, environment: ClientEnvironment, onProgress: (line: string) => void = () => {}) {
    this.#job = job
    this.#environment = environment
    this.#onProgress = onProgress
    this.failed = new Promise((_, reject) => (this.#fail = reject))
    // Whoever is not waiting for the job must not crash because of its worker.
    this.failed.catch(() => undefined)
  }

  /** Starts one unless one polls already. */
  async ensure(temporal: TemporalConnection): Promise<void> {
    if (!(await isPolled(temporal, jobTaskQueue(this.#job)))) await this.start()
  }

  /** Until it lets go: starts one whenever none polls, also where the worker of another client has died. */
  async keepServed(temporal: TemporalConnection): Promise<void> {
    for (let unserved = 0; this.#watching;) {
      await delay(lookEveryMs, undefined, { ref: false })
      // A server that is away is looked at again; one that has just been started knows no workers yet.
      const isServed =
        this.#child !== undefined || (await isPolled(temporal, jobTaskQueue(this.#job)).catch(() => true))
      unserved = isServed ? 0 : unserved + 1
      if (unserved < 2 || !this.#watching) continue
      await this.#startAnother(`no worker serves job ${this.#job} any longer`)
    }
  }

  async start(): Promise<void> {
    const startedAt = Date.now()
    const child = spawnWorker(this.#environment, this.#job)
    this.#child = child
    child.once('error', (error) => this.#fail(error))
    child.once('exit', (code, signal) => void this.#replace({ startedAt, code, signal }))
  }

  /** Stops watching; the worker goes on. */
  letGo(): void {
    this.#watching = false
    this.#child?.removeAllListeners('exit')
  }

  /** Ends a worker that has nothing to serve, because the start of its job failed. */
  stop(): void {
    this.letGo()
    this.#child?.kill('SIGTERM')
  }

  /** A worker that was killed, or told to stop, is replaced; one that failed as soon as it was started is not. */
  async #replace(ended: { startedAt: number; code: number | null; signal: string | null }): Promise<void> {
    const { startedAt, code, signal } = ended
    if (!this.#watching) return
    if (code !== 0 && code !== null && Date.now() - startedAt < diedAtOnceMs) {
      const lines = (await readFile(this.#logPath(), 'utf8')).trimEnd().split('\n').slice(-5)
      this.#fail(
        new RollcallError(
          'configuration-invalid',
          `The job's worker ended as soon as it was started; its log ${this.#logPath()} ends with: ${lines.join(' | ')}`,
        ),
      )
      return
    }
    await delay(restartDelayMs)
    const how = signal === null ? `has ended with exit code ${code}` : `was ended by ${signal}`
    if (this.#watching) await this.#startAnother(`the worker of job ${this.#job} ${how}`)
  }

  async #startAnother(reason: string): Promise<void> {
    this.#onProgress(`${reason}: starting another, which goes on with everything`)
    await this.start()
  }

  #logPath(): string {
    return workerLogPath(this.#environment, this.#job)
  }
}

/** temporal.api.enums.v1.TaskQueueType */
const taskQueueTypes = { workflows: 1, activities: 2 } as const

/** Whether a living worker asks for the queue's tasks. The server remembers dead ones for minutes. */
export async function isPolled(
  temporal: TemporalConnection,
  taskQueue: string,
  work: keyof typeof taskQueueTypes = 'workflows',
): Promise<boolean> {
  const { pollers } = await temporal.connection.workflowService.describeTaskQueue({
    namespace: temporal.namespace,
    taskQueue: { name: taskQueue },
    taskQueueType: taskQueueTypes[work],
  })
  return pollers.some(({ identity, lastAccessTime }) => {
    const lastSeenMs = Number(lastAccessTime?.seconds ?? 0) * 1_000
    return Date.now() - lastSeenMs < pollerGoneAfterMs && !isDeadHere(identity ?? '')
  })
}

/** A worker's identity is `pid@host`: of one on this host it can be told whether it lives. */
function isDeadHere(identity: string): boolean {
  const [, pid, host] = /^(\d+)@(.*)$/.exec(identity) ?? []
  return pid !== undefined && host === hostname() && isDeadProcess(Number(pid))
}

/** Also one that has ended but that nobody has waited for yet, as far as the system shows it. Exported for its test. */
export function isDeadProcess(pid: number): boolean {
  try {
    process.kill(pid, 0)
  } catch (error) {
    return error instanceof Error && 'code' in error && error.code === 'ESRCH'
  }
  try {
    return /^State:\s+[ZX]/m.test(readFileSync(`/proc/${pid}/status`, 'utf8'))
  } catch {
    return false
  }
}
