import { WorkflowNotFoundError } from '@temporalio/client'
import type { Client } from '@temporalio/client'
import { RollcallError } from '../../protocol/failure.ts'
import type { LeaseRef, PoolStatus, ReleaseAnswer, RenewAnswer, ResizeRequest, SlotLease } from '../../protocol/pool.ts'
import type { ReleaseRequest, SlotRequest } from '../../protocol/pool.ts'
import {
  poolStatusQuery,
  releaseSlotsUpdate,
  renewLeasesUpdate,
  resizePoolUpdate,
  stopPoolUpdate,
} from '../../workflows/pool-messages.ts'
import { Batches } from './batches.ts'
import { PoolMessages } from './pool-messages.ts'
import { SlotQueue } from './slot-queue.ts'

export interface AcquireOptions extends Omit<SlotRequest, 'holder'> {
  /** How long to wait for a slot. Default: the profile's `acquireTimeoutMs`. */
  readonly timeoutMs?: number
  /** Stops waiting, and leaves the queue. */
  readonly signal?: AbortSignal
  /** The signal leaves the place in the queue to whoever asks next for the same holder, within 10 s. Default false. */
  readonly keepsPlace?: boolean
}

/**
 * One pool, as its clients see it. It holds no state that matters: what a client that dies has acquired is acquired
 * again under the same holder id, or expires. Calls of many holders at once share updates.
 */
export class PoolClient {
  /** Workflow id of the pool. */
  readonly id: string
  readonly #messages: PoolMessages
  readonly #queue: SlotQueue
  readonly #releases: Batches<ReleaseRequest, ReleaseAnswer>
  readonly #renewals: Batches<LeaseRef, RenewAnswer>
  #acquireTimeoutMs: number | undefined

  /** @param at.client not closed before this is no longer used */
  constructor(at: { client: Client; id: string; acquireTimeoutMs?: number }) {
    this.id = at.id
    this.#acquireTimeoutMs = at.acquireTimeoutMs
    const messages = new PoolMessages(at)
    this.#messages = messages
    // Who cannot say so loses the place in the queue a little later.
    const leaving = new Batches<ReleaseRequest, ReleaseAnswer>(
      async (requests) =>
        (await messages.updateOnce(releaseSlotsUpdate, [requests])) ?? requests.map(() => 'not-held' as const),
    )
    this.#queue = new SlotQueue({
      messages,
      leave: (holder) => void leaving.add({ holder, reset: false }),
    })
    this.#releases = new Batches((requests) => messages.update(releaseSlotsUpdate, [requests]))
    this.#renewals = new Batches((leases) => messages.update(renewLeasesUpdate, [leases]))
  }

  /**
   * Waits for a slot, first come, first served. A holder that has one gets the same one again, with its files; asked
   * twice at the same time, too. A lease lives for `leaseMs` (60 s) unless it is renewed (see `keepLeases`).
   * @throws RollcallError `acquire-timeout` with the place in the queue and what stands in the way; the failure for which
   *   no sandbox of the profile can be made; `configuration-invalid` when the pool does not run; the signal's reason
   */
  async acquire(holder: string, options: AcquireOptions = {}): Promise<SlotLease> {
    const { timeoutMs, signal, keepsPlace = false, ...request } = options
    return await this.#queue.acquire({
      request: { holder, ...request },
      timeoutMs: timeoutMs ?? (await this.#defaultTimeoutMs()),
      ...(signal === undefined ? {} : { signal }),
      keepsPlace,
    })
  }

  /** Twice is fine. @returns for each lease whether it is still held */
  async renew(leases: readonly LeaseRef[]): Promise<RenewAnswer[]> {
    return await Promise.all(leases.map(({ id, holder }) => this.#renewals.add({ id, holder })))
  }

  /**
   * Gives a slot back. Twice is fine: `not-held`, and nothing is changed, also where somebody else has it by now.
   * @param how.reset its processes end and its files go at once; else they stay for this holder until somebody else
   *   needs the slot. Default true
   * @param how.suspect the sandbox did not answer: the pool looks after it before anybody gets a slot in it
   */
  async release(lease: LeaseRef, how: { reset?: boolean; suspect?: boolean } = {}): Promise<ReleaseAnswer> {
    const { id, holder } = lease
    const suspect = how.suspect === true ? { suspect: true } : {}
    return await this.#releases.add({ id, holder, reset: how.reset ?? true, ...suspect })
  }

  /** Ends the lease of a holder that lives as long as a workflow, where its id was never heard. Twice is fine. */
  async releaseHolder(holder: string, at: { workflow: string; suspect?: boolean }): Promise<ReleaseAnswer> {
    return await this.#releases.add({ holder, ...at, reset: true })
  }

  /** @throws RollcallError `configuration-invalid` when there is no such pool */
  async status(): Promise<PoolStatus> {
    return await this.#messages.query(poolStatusQuery)
  }

  /** @throws RollcallError `configuration-invalid` */
  async resize(sizes: ResizeRequest): Promise<void> {
    await this.#messages.update(resizePoolUpdate, [sizes])
  }

  /**
   * Gives out no more slots, and removes every sandbox. Returns when all are verified gone and the pool has ended; gone
   * already is fine.
   * @param how.purge ends leases that are held; without it, it waits for them. Default false
   */
  async stop(how: { purge?: boolean } = {}): Promise<void> {
    try {
      await this.#messages.update(stopPoolUpdate, [{ purge: how.purge ?? false }])
    } catch (error) {
      if (!isPoolGone(error)) throw error
    }
    await this.#messages.ended()
  }

  /** Returns when nothing of it is on its way: then its connection may be closed. Ends no lease. */
  async close(): Promise<void> {
    await this.#messages.idle()
  }

  async #defaultTimeoutMs(): Promise<number> {
    this.#acquireTimeoutMs ??= (await this.status()).profile.acquireTimeoutMs
    return this.#acquireTimeoutMs
  }
}

/** The pool has ended, or never ran. */
export function isPoolGone(error: unknown): boolean {
  return error instanceof RollcallError && error.cause instanceof WorkflowNotFoundError
}
