/**
 * How long an answer is waited for. Only time is spent in which an attachment stood: neither an outage of the provider
 * nor a worker that was itself stopped makes a sandbox silent.
 */
export class Patience {
  #leftMs: number

  constructor(leftMs: number) {
    this.#leftMs = leftMs
  }

  get isOver(): boolean {
    return this.#leftMs < 0
  }

  spend(durationMs: number): void {
    this.#leftMs -= durationMs
  }
}
