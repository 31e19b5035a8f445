import type { Store } from '../store/store.ts'

/**
 * Exports rollouts while their job runs, one export at a time; what ends meanwhile waits and is exported together. An
 * error here is not lost: the export of the whole job, which repeats the work, meets it again.
 */
export class BackgroundExport {
  readonly #target: { store: Store; job: string; jobsDir: string }
  #waiting: string[] = []
  #running: Promise<void> | undefined

  constructor(target: { store: Store; job: string; jobsDir: string }) {
    this.#target = target
  }

  add(rollout: string): void {
    this.#waiting.push(rollout)
    this.#running ??= this.#exportWaiting().finally(() => {
      this.#running = undefined
    })
  }

  /** Exports all that is left and the files about the whole job. @returns the job's folder */
  async finish(): Promise<string> {
    this.#waiting = []
    await this.#running
    const { exportJob } = await import('../results/export-job.ts')
    return await exportJob(this.#target)
  }

  async #exportWaiting(): Promise<void> {
    const { exportJob } = await import('../results/export-job.ts')
    while (this.#waiting.length > 0) {
      const rollouts = this.#waiting
      this.#waiting = []
      await exportJob({ ...this.#target, rollouts }).catch(() => {
        this.#waiting = []
      })
    }
  }
}
