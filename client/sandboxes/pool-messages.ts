import { setTimeout as delay } from 'node:timers/promises'
import {
  WorkflowFailedError,
  WorkflowNotFoundError,
  WorkflowUpdateFailedError,
  WorkflowUpdateRPCTimeoutOrCancelledError,
} from '@temporalio/client'
import type { Client, WorkflowHandle } from '@temporalio/client'
import type { QueryDefinition, UpdateDefinition } from '@temporalio/common'
import { RollcallError } from '../../protocol/failure.ts'
import { grpcCodeOf, grpcCodes } from '../grpc-codes.ts'

/** A server that is away, or has as many updates of a pool in flight as it takes, is asked again after this long. */
const againAfterMs = { first: 20, most: 1_000 }
/** A server that was just started may not know its workflows' workers yet. */
const passingCodes: readonly number[] = [
  grpcCodes.unavailable,
  grpcCodes.deadlineExceeded,
  grpcCodes.cancelled,
  grpcCodes.resourceExhausted,
  grpcCodes.aborted,
]

/** Messages to one pool's workflow; every one of them may arrive twice. */
export class PoolMessages {
  readonly #handle: WorkflowHandle
  readonly #id: string
  readonly #inFlight = new Set<Promise<unknown>>()

  constructor(at: { client: Client; id: string }) {
    this.#id = at.id
    this.#handle = at.client.workflow.getHandle(at.id)
  }

  /**
   * Tries until there is an answer, or `signal` says that nobody wants it any more.
   * @throws RollcallError `configuration-invalid` when the pool does not run, or refuses
   */
  async update<Result, Args extends [unknown, ...unknown[]]>(
    definition: UpdateDefinition<Result, Args>,
    args: Args,
    signal?: AbortSignal,
  ): Promise<Result> {
    return await this.#tried(() => this.#handle.executeUpdate(definition, { args }), signal)
  }

  /** Once, for what does not matter enough to be tried again. */
  async updateOnce<Result, Args extends [unknown, ...unknown[]]>(
    definition: UpdateDefinition<Result, Args>,
    args: Args,
  ): Promise<Result | undefined> {
    return await this.#counted(() => this.#handle.executeUpdate(definition, { args })).catch(() => undefined)
  }

  /** Returns when nothing is on its way: before that the connection must not be closed. */
  async idle(): Promise<void> {
    while (this.#inFlight.size > 0) await Promise.allSettled(this.#inFlight)
  }

  async query<Result>(definition: QueryDefinition<Result>): Promise<Result> {
    return await this.#tried(() => this.#handle.query(definition))
  }

  /** Returns when the pool has ended, however it did. */
  async ended(): Promise<void> {
    try {
      await this.#tried(() => this.#handle.result())
    } catch (error) {
      const { cause } = error instanceof RollcallError ? error : { cause: error }
      if (!(cause instanceof WorkflowNotFoundError || error instanceof WorkflowFailedError)) throw error
    }
  }

  async #tried<Result>(call: () => Promise<Result>, signal?: AbortSignal): Promise<Result> {
    for (let waitMs = againAfterMs.first; ; waitMs = Math.min(2 * waitMs, againAfterMs.most)) {
      try {
        return await this.#counted(call)
      } catch (error) {
        if (!isPassing(error)) throw this.#asFailure(error)
        await delay(waitMs * (0.5 + Math.random()), undefined, signal === undefined ? {} : { signal })
      }
    }
  }

  async #counted<Result>(call: () => Promise<Result>): Promise<Result> {
    const calling = call()
    this.#inFlight.add(calling)
    try {
      return await calling
    } finally {
      this.#inFlight.delete(calling)
    }
  }

  #asFailure(error: unknown): unknown {
    if (error instanceof WorkflowNotFoundError) {
      const message = `Pool ${this.#id} does not run: start it, or name another one`
      return new RollcallError('configuration-invalid', message, { cause: error })
    }
    if (error instanceof WorkflowUpdateFailedError) {
      const reason = error.cause?.message ?? error.message
      return new RollcallError('configuration-invalid', `Pool ${this.#id} refuses: ${reason}`, { cause: error })
    }
    return error
  }
}

function isPassing(error: unknown): boolean {
  if (error instanceof WorkflowUpdateRPCTimeoutOrCancelledError) return true
  const code = grpcCodeOf(error)
  return code !== undefined && passingCodes.includes(code)
}
