/** The signals that end a command, as something that can be listened to. */
export interface Signals {
  /** @returns stops listening; without listeners a signal ends the process at once */
  listen(handler: (signal: 'SIGINT' | 'SIGTERM' | 'SIGHUP') => void): () => void
}

/**
 * npm and npx pass a terminal's Ctrl-C on to a child that the terminal has already told: what comes so soon after a
 * signal that counted does not count.
 */
const sameSignalMs = 300

export interface InterruptActions {
  /** First Ctrl-C or SIGTERM. Without it, the first one leaves. */
  readonly cancel?: () => void
  /** Second one, or the terminal was closed: go away, the job runs on. */
  readonly leave: () => void
}

/**
 * What a command that follows a job does when it is interrupted: SIGINT and SIGTERM ask the job to cancel, a second one
 * leaves; SIGHUP leaves. After leaving, nothing more happens.
 */
export class Interrupts {
  readonly #actions: InterruptActions
  readonly #now: () => number
  #state: 'following' | 'cancelling' | 'left' = 'following'
  #countedAt = -Infinity

  constructor(actions: InterruptActions, now: () => number) {
    this.#actions = actions
    this.#now = now
  }

  receive(signal: 'SIGINT' | 'SIGTERM' | 'SIGHUP'): void {
    const isRepeated = this.#now() - this.#countedAt < sameSignalMs
    if (this.#state === 'left' || (isRepeated && signal !== 'SIGHUP')) return
    this.#countedAt = this.#now()
    if (this.#state === 'following' && signal !== 'SIGHUP' && this.#actions.cancel) {
      this.#state = 'cancelling'
      this.#actions.cancel()
      return
    }
    this.#state = 'left'
    this.#actions.leave()
  }
}
