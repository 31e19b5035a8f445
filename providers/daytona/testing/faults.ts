/** What shall go wrong with the next matching requests. */
export interface Fault {
  /** Default: any. */
  readonly method?: string
  /** Of `METHOD`-less path with query: `/api/sandbox?…`, `/toolbox/<id>/process/execute`. */
  readonly path: RegExp
  /** How many requests. Default 1. */
  readonly times?: number
  /** Answered instead of handling the request. */
  readonly answer?: { readonly status: number; readonly message: string; readonly headers?: Record<string, string> }
  /** The connection is cut before the request is handled, or after it was, before the answer. */
  readonly lose?: 'request' | 'answer'
  /** Called when it strikes, before anything else is done. */
  readonly onStrike?: () => void | Promise<void>
}

/** Faults that are still to come, in order; the first one that matches strikes. */
export class Faults {
  readonly #left: { fault: Fault; times: number }[] = []

  add(fault: Fault): void {
    this.#left.push({ fault, times: fault.times ?? 1 })
  }

  clear(): void {
    this.#left.length = 0
  }

  next(method: string, path: string): Fault | undefined {
    const entry = this.#left.find(
      ({ fault, times }) => times > 0 && (fault.method ?? method) === method && fault.path.test(path),
    )
    if (entry === undefined) return undefined
    entry.times -= 1
    return entry.fault
  }
}
