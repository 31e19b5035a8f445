import {
  allHandlersFinished,
  CancellationScope,
  condition,
  continueAsNew,
  setCurrentDetails,
  setHandler,
  uuid4,
  workflowInfo,
} from '@temporalio/workflow'
import type { Failure } from '../protocol/failure.ts'
import { counted } from '../protocol/names.ts'
import type { AcquireAnswer, AcquireRequest, LeaseRef, PoolStatus, Profile, ReleaseAnswer } from '../protocol/pool.ts'
import type { ReleaseRequest, RenewAnswer, ResizeRequest, SlotRequest, StopRequest } from '../protocol/pool.ts'
import { assertAcquire, assertSize, refusalOf } from './pool-checks.ts'
import { decide } from './pool-decide.ts'
import type { Deciding } from './pool-decide.ts'
import { ask, describeLease, forgiveOutage, release, renew } from './pool-leases.ts'
import {
  acquireSlotsUpdate,
  ownsSandboxQuery,
  poolStatusQuery,
  releaseSlotsUpdate,
  renewLeasesUpdate,
  resizePoolUpdate,
  stopPoolUpdate,
} from './pool-messages.ts'
import { endOf, heldLeases, leaseOf, newPoolState } from './pool-state.ts'
import type { PoolState } from './pool-state.ts'
import { poolStatus } from './pool-status.ts'
import { poolTiming, waitingAtOnce } from './pool-timing.ts'
import { nextWakeMs } from './pool-wake.ts'
import { PoolWork } from './pool-work.ts'

export interface PoolInput {
  readonly profile: Profile
  /** Only after continue-as-new. */
  readonly state?: PoolState
}

/** After so many updates, or when the server says so, the pool continues as new as soon as nothing is under way … */
const updatesUntilNew = 400
/** … and after so many, or so much history, at once: what is under way begins anew, and finds what it has made. */
const mostUpdates = 1_500
const mostEvents = 8_000

/**
 * One pool: owns its sandboxes, their slots and the queue of those who want one. It ends when it was stopped and every
 * sandbox is verified gone. Nothing that it starts is lost by continuing as new: the state says what is to be done.
 */
export async function poolWorkflow(input: PoolInput): Promise<void> {
  const pool = new Pool(input)
  pool.listen()
  const state = await pool.run()
  if (state !== undefined) await continueAsNew<typeof poolWorkflow>({ ...input, state })
}

class Pool {
  readonly #profile: Profile
  readonly #state: PoolState
  readonly #work: PoolWork
  readonly #pool = workflowInfo().workflowId
  #updates = 0
  #waiting = 0
  /** When it has to look again by itself. */
  #wakeMs: number | undefined
  /** Who waits is sent away, since the pool continues as new. */
  #isClosing = false

  constructor({ profile, state }: PoolInput) {
    this.#profile = profile
    this.#state = state ?? newPoolState({ owner: uuid4(), profile })
    const onDone = (): void => this.#settle()
    this.#work = new PoolWork({ pool: this.#pool, profile, state: this.#state, onDone })
  }

  listen(): void {
    const validator = (request: AcquireRequest): void => assertAcquire(request)
    setHandler(acquireSlotsUpdate, (request) => this.#acquire(request), { validator })
    setHandler(renewLeasesUpdate, (leases) => this.#renew(leases))
    setHandler(releaseSlotsUpdate, (requests) => this.#release(requests))
    setHandler(resizePoolUpdate, (sizes) => this.#resize(sizes), {
      validator: (sizes) => assertSize({ ...this.#state, ...sizes }),
    })
    setHandler(stopPoolUpdate, (request) => this.#stop(request))
    setHandler(poolStatusQuery, () => this.#status())
    setHandler(
      ownsSandboxQuery,
      ({ owner, sandboxNumber }) =>
        owner === this.#state.owner && this.#state.sandboxes.some(({ number }) => number === sandboxNumber),
    )
  }

  /** @returns the state to continue as new with; nothing when the pool is over */
  async run(): Promise<PoolState | undefined> {
    void CancellationScope.current().cancelRequested.catch(() => this.#stop({ purge: true }))
    return await CancellationScope.nonCancellable(async () => {
      this.#settle()
      while (!this.#isOver()) {
        if (this.#shallContinue()) return await this.#handOn()
        await this.#rest()
      }
      await condition(allHandlersFinished)
      return undefined
    })
  }

  /**
   * Until it is time, or there is an earlier time. A timer that is no longer needed is left to fire: to replace it costs
   * events with every lease.
   */
  async #rest(): Promise<void> {
    const wakeMs = this.#wakeMs
    const isWoken = (): boolean =>
      this.#isOver() || this.#shallContinue() || (this.#wakeMs ?? Infinity) < (wakeMs ?? Infinity)
    if (wakeMs === undefined) return await condition(isWoken)
    if (await condition(isWoken, Math.max(1, wakeMs - Date.now()))) return
    this.#settle()
  }

  #isOver(): boolean {
    return this.#state.stopping !== undefined && this.#state.sandboxes.length === 0 && this.#work.isIdle
  }

  #shallContinue(): boolean {
    const { historyLength, continueAsNewSuggested } = workflowInfo()
    if (this.#updates >= mostUpdates || historyLength >= mostEvents) return true
    return this.#work.isIdle && (this.#updates >= updatesUntilNew || continueAsNewSuggested)
  }

  async #handOn(): Promise<PoolState> {
    this.#isClosing = true
    await condition(allHandlersFinished)
    return this.#state
  }

  /**
   * Brings everything to where it should be by now. What comes first after an outage may be a message, before the timer
   * that is late.
   */
  #settle(): void {
    if (Date.now() - (this.#wakeMs ?? Infinity) > poolTiming.outageMs) forgiveOutage(this.#state, Date.now())
    decide(this.#deciding())
    this.#work.begin(Date.now())
    this.#wakeMs = nextWakeMs(this.#deciding())
    const { sandboxes, queue } = this.#state
    const leases = counted(heldLeases(this.#state).length, 'lease')
    setCurrentDetails(`sandboxes: ${sandboxes.length} · ${leases} · ${queue.length} waiting`)
  }

  #deciding(): Deciding {
    return { state: this.#state, profile: this.#profile, nowMs: Date.now(), newId: uuid4 }
  }

  async #acquire({ slots, waitMs = 0 }: AcquireRequest): Promise<AcquireAnswer[]> {
    this.#updates += 1
    const now = Date.now()
    for (const request of slots) if (this.#refusal(request) === undefined) ask(this.#state, request, now)
    this.#settle()
    const answers = (): AcquireAnswer[] => slots.map((request) => this.#answer(request))
    const isServed = (): boolean => answers().some(({ state }) => state !== 'queued')
    if (waitMs > 0 && this.#waiting < waitingAtOnce && !isServed()) {
      this.#waiting += 1
      await condition(() => this.#isClosing || isServed(), Math.min(waitMs, poolTiming.longestWaitMs))
      this.#waiting -= 1
    }
    return answers()
  }

  #answer(request: SlotRequest): AcquireAnswer {
    const { holder } = request
    const held = leaseOf(this.#state, holder)
    const lease = held && describeLease(held, { profile: this.#profile, pool: this.#pool })
    if (lease !== undefined) return { holder, state: 'granted', lease }
    const failure = this.#refusal(request)
    if (failure !== undefined) return { holder, state: 'refused', failure }
    const position = 1 + this.#state.queue.findIndex((waiter) => waiter.request.holder === holder)
    const { hindrance } = this.#state
    return { holder, state: 'queued', position, ...(hindrance && { hindrance: hindrance.failure }) }
  }

  /** Why it is no use to wait, for who has no lease yet. */
  #refusal(request: SlotRequest): Failure | undefined {
    return refusalOf({ ...this.#deciding(), request })
  }

  async #renew(leases: readonly LeaseRef[]): Promise<RenewAnswer[]> {
    this.#updates += 1
    const now = Date.now()
    const answers = leases.map(({ id, holder }): RenewAnswer => {
      const held = leaseOf(this.#state, holder)
      if (held?.lease.id !== id) return { id, state: 'lost', reason: endOf(this.#state, id) }
      renew(held, now)
      const { expiresAtMs } = held.lease
      return { id, state: 'held', ...(expiresAtMs === undefined ? {} : { expiresAtMs }) }
    })
    this.#settle()
    return answers
  }

  async #release(requests: readonly ReleaseRequest[]): Promise<ReleaseAnswer[]> {
    this.#updates += 1
    const answers = requests.map((request) => release(this.#state, request, Date.now()))
    this.#settle()
    return answers
  }

  async #resize(sizes: ResizeRequest): Promise<void> {
    this.#updates += 1
    this.#state.minSandboxes = sizes.minSandboxes ?? this.#state.minSandboxes
    this.#state.maxSandboxes = sizes.maxSandboxes ?? this.#state.maxSandboxes
    this.#settle()
  }

  async #stop({ purge }: StopRequest): Promise<void> {
    this.#updates += 1
    this.#state.stopping = purge || this.#state.stopping === 'purging' ? 'purging' : 'draining'
    this.#state.queue.splice(0)
    this.#work.cancelMaking()
    this.#settle()
  }

  #status(): PoolStatus {
    return poolStatus(this.#state, { profile: this.#profile, pool: this.#pool })
  }
}
