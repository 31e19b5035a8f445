import { setTimeout as delay } from 'node:timers/promises'
import { RollcallError } from '../../protocol/failure.ts'
import type { AcquireAnswer, SlotLease, SlotRequest } from '../../protocol/pool.ts'
import { acquireSlotsUpdate } from '../../workflows/pool-messages.ts'
import type { PoolMessages } from './pool-messages.ts'

/** How long the pool may take for an answer when it can serve nobody. */
const waitMs = 1_500
/** A pool with many clients lets none of them wait: they ask again after this long. */
const askAgainMs = 100
/** Of one update. */
const mostHolders = 200
/** Those behind them are asked for this often: who is not keeps its place for 10 s. */
const keepPlacesMs = 3_000

interface Wanted {
  readonly request: SlotRequest
  readonly settle: (answer: AcquireAnswer | { state: 'failed'; error: unknown }) => void
  answer?: AcquireAnswer
}

/**
 * Those of this client who wait for a slot of one pool. They ask together: one update at a time that waits, and one for
 * newcomers, who may find a free slot at once.
 */
export class SlotQueue {
  readonly #messages: Pick<PoolMessages, 'update'>
  readonly #leave: (holder: string) => void
  readonly #wanted = new Map<string, Wanted[]>()
  readonly #fresh = new Set<string>()
  #isAskingFresh = false
  #isWaiting = false
  /** Aborted when nobody waits any more: a server that is away is not asked for ever. */
  #unwanted = new AbortController()

  /** @param at.leave takes a holder out of the pool's queue; a lease that it got meanwhile expires */
  constructor(at: { messages: Pick<PoolMessages, 'update'>; leave: (holder: string) => void }) {
    this.#messages = at.messages
    this.#leave = at.leave
  }

  async acquire(at: {
    request: SlotRequest
    timeoutMs: number
    signal?: AbortSignal
    keepsPlace: boolean
  }): Promise<SlotLease> {
    const { request, timeoutMs, signal, keepsPlace } = at
    signal?.throwIfAborted()
    const { promise, resolve } = Promise.withResolvers<Parameters<Wanted['settle']>[0]>()
    const wanted: Wanted = { request, settle: resolve }
    this.#add(wanted)
    const timer = new AbortController()
    const giveUp = AbortSignal.any([timer.signal, ...(signal === undefined ? [] : [signal])])
    const late = delay(timeoutMs, undefined, { signal: giveUp }).catch(() => signal?.throwIfAborted())
    try {
      const settled = await Promise.race([promise, late])
      if (settled === undefined) throw tooLate(wanted, timeoutMs)
      return leaseIn(settled)
    } finally {
      timer.abort()
      this.#remove(wanted, keepsPlace && signal?.aborted === true)
    }
  }

  #add(wanted: Wanted): void {
    const { holder } = wanted.request
    if (this.#wanted.size === 0) this.#unwanted = new AbortController()
    this.#wanted.set(holder, [...(this.#wanted.get(holder) ?? []), wanted])
    this.#fresh.add(holder)
    queueMicrotask(() => void this.#askFresh())
  }

  /** The last of a holder's who gives up leaves the queue. */
  #remove(wanted: Wanted, keepsPlace: boolean): void {
    const { holder } = wanted.request
    const left = (this.#wanted.get(holder) ?? []).filter((other) => other !== wanted)
    if (left.length > 0) return void this.#wanted.set(holder, left)
    if (!this.#wanted.delete(holder)) return
    this.#fresh.delete(holder)
    if (this.#wanted.size === 0) this.#unwanted.abort()
    if (!keepsPlace) this.#leave(holder)
  }

  async #askFresh(): Promise<void> {
    if (this.#isAskingFresh) return
    this.#isAskingFresh = true
    while (this.#fresh.size > 0) {
      const holders = [...this.#fresh].slice(0, mostHolders)
      for (const holder of holders) this.#fresh.delete(holder)
      await this.#ask(holders, 0)
      void this.#wait()
    }
    this.#isAskingFresh = false
  }

  /** As long as anybody waits. */
  async #wait(): Promise<void> {
    if (this.#isWaiting) return
    this.#isWaiting = true
    let keptMs = performance.now()
    for (;;) {
      if (performance.now() - keptMs > keepPlacesMs) {
        await this.#keepPlaces()
        keptMs = performance.now()
      }
      const holders = this.#asked()
      if (holders.length === 0) break
      const began = performance.now()
      const isServed = await this.#ask(holders.slice(0, mostHolders), waitMs)
      if (!isServed && performance.now() - began < waitMs / 2) await delay(askAgainMs * (0.5 + Math.random()))
    }
    this.#isWaiting = false
  }

  /** Who has been asked for already, the first first. */
  #asked(): string[] {
    return [...this.#wanted.keys()].filter((holder) => !this.#fresh.has(holder))
  }

  /** Of those who do not fit into the update that waits. */
  async #keepPlaces(): Promise<void> {
    const behind = this.#asked().slice(mostHolders)
    for (let first = 0; first < behind.length; first += mostHolders) {
      await this.#ask(behind.slice(first, first + mostHolders), 0)
    }
  }

  /** @returns whether anybody was served */
  async #ask(holders: readonly string[], longestMs: number): Promise<boolean> {
    const slots = holders.flatMap((holder) => this.#wanted.get(holder)?.[0]?.request ?? [])
    if (slots.length === 0) return false
    try {
      const asked = { slots, waitMs: longestMs }
      const answers = await this.#messages.update(acquireSlotsUpdate, [asked], this.#unwanted.signal)
      for (const answer of answers) this.#answered(answer)
      return answers.some(({ state }) => state !== 'queued')
    } catch (error) {
      for (const { holder } of slots) this.#failed(holder, error)
      return true
    }
  }

  #answered(answer: AcquireAnswer): void {
    const waiting = this.#wanted.get(answer.holder)
    // Who asked has given up meanwhile; a lease that nobody uses expires.
    if (waiting === undefined) return
    for (const wanted of waiting) {
      wanted.answer = answer
      if (answer.state !== 'queued') wanted.settle(answer)
    }
    if (answer.state !== 'queued') this.#wanted.delete(answer.holder)
  }

  #failed(holder: string, error: unknown): void {
    for (const wanted of this.#wanted.get(holder) ?? []) wanted.settle({ state: 'failed', error })
    this.#wanted.delete(holder)
  }
}

function leaseIn(settled: Parameters<Wanted['settle']>[0]): SlotLease {
  if (settled.state === 'granted') return settled.lease
  if (settled.state === 'failed') throw settled.error
  if (settled.state === 'refused') throw new RollcallError(settled.failure.code, settled.failure.message)
  throw new RollcallError('internal', 'An acquire ended while its holder waits')
}

function tooLate({ request, answer }: Wanted, timeoutMs: number): RollcallError {
  const asked = `${request.holder} got no slot within ${timeoutMs} ms`
  if (answer?.state !== 'queued') return new RollcallError('acquire-timeout', `${asked}: the pool has not answered`)
  const { position, hindrance } = answer
  const why = hindrance === undefined ? 'none is free' : `no sandbox could be made (${hindrance.message})`
  return new RollcallError('acquire-timeout', `${asked}: number ${position} in the queue, ${why}`)
}
