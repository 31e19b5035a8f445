import { setTimeout as delay } from 'node:timers/promises'
import { RollcallProcess } from '../../cli/fixtures/rollcall-process.ts'
import type { Ended } from '../../cli/fixtures/rollcall-process.ts'

const againAfterMs = 500

/**
 * A `rollcall` command that somebody starts again whenever it has ended before its work was done: a user who comes back
 * to a job, or a service manager that keeps a worker.
 */
export class KeptProcess {
  /** The end that counted. Rejects when starting it again has no sense. */
  readonly done: Promise<Ended>
  starts = 0
  readonly #args: readonly string[]
  readonly #env: Readonly<Record<string, string | undefined>>
  readonly #isDone: (ended: Ended) => boolean
  #current: RollcallProcess | undefined
  #given = false

  /** @param isDone whether this end is the one that counts, and not to be followed by another start */
  constructor(at: {
    args: readonly string[]
    env: Readonly<Record<string, string | undefined>>
    isDone: (ended: Ended) => boolean
  }) {
    this.#args = at.args
    this.#env = at.env
    this.#isDone = at.isDone
    this.done = this.#keep()
  }

  signal(name: NodeJS.Signals): void {
    this.#current?.signal(name)
  }

  /** No further start; what runs is killed. */
  giveUp(): void {
    this.#given = true
    this.signal('SIGKILL')
  }

  async #keep(): Promise<Ended> {
    for (;;) {
      this.starts += 1
      this.#current = new RollcallProcess(this.#args, this.#env)
      const ended = await this.#current.ended
      if (this.#given || this.#isDone(ended)) return ended
      await delay(againAfterMs)
    }
  }
}
