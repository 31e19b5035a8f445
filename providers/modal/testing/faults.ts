import { ServerError, Status } from 'nice-grpc'
import type { CallContext, ServerMiddleware } from 'nice-grpc'

/** What shall go wrong with the next calls of one method. */
export interface Fault {
  /** Last part of the path: `SandboxCreateV2`. */
  readonly method: string
  /** How many calls; default 1. */
  readonly times?: number
  /** How many calls go well before; default 0. */
  readonly after?: number
  readonly status?: Status
  readonly details?: string
  /** With RESOURCE_EXHAUSTED: the server asks to wait so long. */
  readonly retryAfterSecs?: number
  /** The call is done, and only its answer is lost. */
  readonly losesAnswer?: boolean
}

interface Armed extends Fault {
  left: number
  wait: number
}

/** Faults to come, and every call that came. */
export class Faults {
  readonly calls: string[] = []
  readonly #armed: Armed[] = []
  readonly #encodeRetryPolicy: (retryAfterSecs: number) => Uint8Array

  constructor(encodeRetryPolicy: (retryAfterSecs: number) => Uint8Array) {
    this.#encodeRetryPolicy = encodeRetryPolicy
  }

  add(fault: Fault): void {
    this.#armed.push({ ...fault, left: fault.times ?? 1, wait: fault.after ?? 0 })
  }

  clear(): void {
    this.#armed.length = 0
  }

  count(method: string): number {
    return this.calls.filter((call) => call === method).length
  }

  middleware(): ServerMiddleware {
    const take = (method: string) => this.#take(method)
    const errorOf = (fault: Fault, context: CallContext) => this.#error(fault, context)
    return async function* injectFaults(call, context) {
      const fault = take(call.method.path.split('/').at(-1) ?? '')
      if (fault !== undefined && fault.losesAnswer !== true) throw errorOf(fault, context)
      const answer = yield* call.next(call.request, context)
      if (fault !== undefined) throw errorOf(fault, context)
      return answer
    }
  }

  #take(method: string): Fault | undefined {
    this.calls.push(method)
    const fault = this.#armed.find((armed) => armed.method === method && armed.left > 0)
    if (fault === undefined) return undefined
    if (fault.wait > 0) {
      fault.wait -= 1
      return undefined
    }
    fault.left -= 1
    return fault
  }

  #error(fault: Fault, context: CallContext): ServerError {
    if (fault.retryAfterSecs !== undefined) {
      context.trailer.set('grpc-status-details-bin', this.#encodeRetryPolicy(fault.retryAfterSecs))
    }
    return new ServerError(fault.status ?? Status.UNAVAILABLE, fault.details ?? 'fault of a test')
  }
}
