/**
 * How much of an agent's time a slice of turns has taken: only while a worker holds the sandbox, over all attempts and
 * workers, so that a dead worker, a stopped server or an Engine that is away cost the agent nothing.
 */
export class AgentTime {
  #before: number
  #since: number | undefined

  /** @param before what earlier attempts have taken, in milliseconds */
  constructor(before = 0) {
    this.#before = before
  }

  /** From now on it is the agent's. */
  begin(): void {
    this.#since ??= performance.now()
  }

  /** Milliseconds. */
  get tookMs(): number {
    return Math.round(this.#before + (this.#since === undefined ? 0 : performance.now() - this.#since))
  }
}
