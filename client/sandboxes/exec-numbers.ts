import { createHash } from 'node:crypto'
import type { AcknowledgeMark, ExecId } from '../../protocol/exec.ts'
import type { SlotLease } from '../../protocol/pool.ts'

/**
 * The batch of every request that has an id: above all others, so that nothing that is forgotten takes them along. They
 * are kept until the lease ends, and with them the proof that a request has been made already.
 */
const keptBatch = 9e15
const hashBits = 48
/** What another process has begun so short a time before this one's first call may still run. */
const predecessorMs = 600_000

/** One request's place among the execs of its lease. */
export interface ExecPlace {
  readonly execId: (part: number) => ExecId
  /** To be called when its answer is there, or given up. */
  readonly done: () => void
}

/**
 * Numbers the requests of one lease. A request with an id has the same number whoever asks, today or after this process
 * has died; any other one has a number of its own, by the clock, so that a successor of this process goes on above it.
 */
export class ExecNumbers {
  readonly #lease: Pick<SlotLease, 'scope' | 'phase'>
  readonly #now: () => number
  readonly #pending = new Set<number>()
  #last = 0
  #hasMarked = false

  /** @param now milliseconds since 1970 */
  constructor(lease: Pick<SlotLease, 'scope' | 'phase'>, now: () => number = Date.now) {
    this.#lease = lease
    this.#now = now
  }

  /** @param request of one with an id: a text that is the same whenever that request is made again */
  next(request?: string): ExecPlace {
    if (request !== undefined) return { execId: this.#execId(keptBatch, hashOf(request)), done: () => {} }
    const batch = Math.max(this.#last + 1, Math.floor(this.#now() * 1_000))
    this.#last = batch
    this.#pending.add(batch)
    return { execId: this.#execId(batch, 0), done: () => void this.#pending.delete(batch) }
  }

  /**
   * What the runner may forget: everything of earlier leases, and what has been answered since. The first mark of a process
   * spares what others of this lease may be waiting for: two commands of the command line, for instance.
   */
  mark(): AcknowledgeMark {
    const { scope, phase } = this.#lease
    let batch = this.#last + 1
    for (const pending of this.#pending) batch = Math.min(batch, pending)
    if (!this.#hasMarked) batch -= predecessorMs * 1_000
    this.#hasMarked = true
    return { scope, phase, batch: this.#last === 0 ? 0 : batch }
  }

  #execId(batch: number, call: number): (part: number) => ExecId {
    const { scope, phase } = this.#lease
    return (part) => ({ scope, phase, batch, call, part })
  }
}

function hashOf(request: string): number {
  return createHash('sha256')
    .update(request)
    .digest()
    .readUIntBE(0, hashBits / 8)
}
