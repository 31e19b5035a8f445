import { Worker } from '@temporalio/worker'
import type { WorkerOptions } from '@temporalio/worker'

/** The task queues that this process serves, each by a Worker of its own. */
export class ServedQueues {
  /** Rejects when a queue can no longer be served. */
  readonly failed: Promise<never>
  readonly #common: Omit<WorkerOptions, 'taskQueue'>
  readonly #served = new Map<string, Promise<Worker>>()
  readonly #running = new Set<Promise<void>>()
  readonly #log: (line: string) => void
  #fail: (error: unknown) => void = () => {}
  #stopping = false

  /** @param common connection, activities and what else holds for all of them */
  constructor(common: Omit<WorkerOptions, 'taskQueue'>, log: (line: string) => void) {
    this.#common = common
    this.#log = log
    this.failed = new Promise((_, reject) => (this.#fail = reject))
    this.failed.catch(() => undefined)
  }

  /** Returns when it is served. One that is served already stays as it is. */
  async serve(taskQueue: string, more: Partial<WorkerOptions> = {}): Promise<void> {
    if (this.#stopping) throw new Error('This worker shuts down and serves nothing new')
    const known = this.#served.get(taskQueue)
    if (known !== undefined) return void (await known)
    const creating = this.#start({ ...this.#common, ...more, taskQueue })
    this.#served.set(taskQueue, creating)
    creating.catch(() => this.#served.delete(taskQueue))
    await creating
  }

  /** No more is asked for; what runs may end. Returns when all of it has. */
  async shutdown(): Promise<void> {
    this.#stopping = true
    const workers = await Promise.allSettled(this.#served.values())
    for (const worker of workers) {
      if (worker.status === 'fulfilled' && worker.value.getState() === 'RUNNING') worker.value.shutdown()
    }
    await Promise.allSettled(this.#running)
  }

  async #start(options: WorkerOptions): Promise<Worker> {
    const worker = await Worker.create(options)
    // One that is not run holds the connection for ever; shutdown, which waits for it, ends it at once.
    this.#log(`serving ${options.taskQueue}`)
    const running = worker.run()
    this.#running.add(running)
    running.catch((error: unknown) => this.#fail(error)).finally(() => this.#running.delete(running))
    return worker
  }
}
