import { ActivityFailure, CancellationScope, isCancellation, log, TimeoutFailure } from '@temporalio/workflow'
import type { MadeSandbox, Placement } from '../protocol/activities.ts'
import { failureKinds } from '../protocol/failure.ts'
import type { Failure } from '../protocol/failure.ts'
import { providerTaskQueue } from '../protocol/names.ts'
import type { Profile } from '../protocol/pool.ts'
import { callActivity, untilKept } from './activity-stubs.ts'
import { failureOf } from './failure-of.ts'
import { endLease, leasesIn } from './pool-leases.ts'
import { heldLeases } from './pool-state.ts'
import type { PooledSandbox, PoolState } from './pool-state.ts'
import { missesUntilLost, poolTiming } from './pool-timing.ts'
import { activityOptions } from './timing.ts'

/**
 * What a pool does about its state: each sandbox's state says what there is to do, and one thing is done about it at a
 * time. All of it is safe to do again, so that a pool that continues as new just begins it anew.
 */
export class PoolWork {
  readonly #at: { pool: string; profile: Profile; state: PoolState; onDone: () => void }
  /** By what is done. */
  readonly #running = new Map<string, CancellationScope>()

  constructor(at: { pool: string; profile: Profile; state: PoolState; onDone: () => void }) {
    this.#at = at
  }

  get isIdle(): boolean {
    return this.#running.size === 0
  }

  /** Begins all that is due and not under way. */
  begin(nowMs: number): void {
    const { state } = this.#at
    for (const sandbox of state.sandboxes) this.#beginFor(sandbox)
    const live = state.sandboxes.filter(({ state: now, isDead }) => isLive(now) && isDead === undefined)
    if (live.length > 0 && state.nextCheckMs <= nowMs) this.#beginChecks(live, nowMs)
    const workflows = [...new Set(heldLeases(state).flatMap(({ lease }) => lease.workflow ?? []))]
    if (workflows.length > 0 && state.nextHolderCheckMs <= nowMs) {
      state.nextHolderCheckMs = nowMs + poolTiming.holderCheckEveryMs
      this.#run('holders', () => this.#checkHolders(workflows))
    }
  }

  /** Gives up what is being made: nobody needs it any more. */
  cancelMaking(): void {
    for (const [what, scope] of this.#running) if (what.startsWith('make ')) scope.cancel()
  }

  #beginFor(sandbox: PooledSandbox): void {
    const { number, state } = sandbox
    if (state === 'creating') this.#run(`make ${number}`, () => this.#make(sandbox))
    else if (state === 'removing') this.#run(`remove ${number}`, () => this.#remove(sandbox))
    else if (sandbox.resetting !== undefined) this.#run(`reset ${number}`, () => this.#reset(sandbox))
  }

  #beginChecks(live: readonly PooledSandbox[], nowMs: number): void {
    this.#at.state.nextCheckMs = nowMs + poolTiming.checkEveryMs
    const placements = new Map(live.flatMap(({ placement }) => (placement ? [[placement.queue, placement]] : [])))
    for (const placement of placements.values()) {
      const here = live.filter((sandbox) => sandbox.placement?.queue === placement.queue)
      this.#run(`check ${placement.queue}`, () => this.#check(placement, here))
    }
  }

  #run(what: string, work: () => Promise<void>): void {
    if (this.#running.has(what)) return
    const scope = new CancellationScope({ cancellable: true })
    this.#running.set(what, scope)
    void scope
      .run(work)
      .finally(() => this.#running.delete(what))
      .then(() => this.#at.onDone())
  }

  async #make(sandbox: PooledSandbox): Promise<void> {
    const { state } = this.#at
    try {
      const placement = (sandbox.placement ??= await this.#place(sandbox))
      const made = await this.#open(sandbox, placement)
      sandbox.made = made
      sandbox.state = 'ready'
      sandbox.idleSinceMs = Date.now()
      state.counts.created += 1
      state.failures = 0
      delete state.hindrance
    } catch (error) {
      this.#notMade(sandbox, error)
    }
  }

  async #place(sandbox: PooledSandbox): Promise<Placement> {
    const { name } = this.#at.profile.provider
    const options = activityOptions.placePoolSandbox
    const taskQueue = providerTaskQueue(name)
    return await callActivity('placePoolSandbox', { ...options, taskQueue, summary: name }, this.#ref(sandbox))
  }

  async #open(sandbox: PooledSandbox, { place, queue }: Placement): Promise<MadeSandbox> {
    const { startTimeoutMs } = this.#at.profile.runtime.limits ?? {}
    const options = { ...activityOptions.openPoolSandbox(startTimeoutMs ?? defaultStartMs), taskQueue: queue }
    const summary = `sandbox ${sandbox.number}`
    const input = { ...this.#ref(sandbox), place }
    return await untilKept(() => callActivity('openPoolSandbox', { ...options, summary }, input))
  }

  /** What was begun is cleared away; the next attempt is another sandbox, later. */
  #notMade(sandbox: PooledSandbox, error: unknown): void {
    const { state } = this.#at
    sandbox.state = 'removing'
    sandbox.because = 'it could not be made'
    sandbox.mayAppear = true
    if (isCancellation(error)) return
    const failure = failureOf(error)
    const isFinal = !failureKinds[failure.code].retry && !passing.has(failure.code)
    const { retryFinalMs, retryFirstMs, retryLastMs } = poolTiming
    const waitMs = isFinal ? retryFinalMs : Math.min(retryLastMs, retryFirstMs * 2 ** state.failures)
    state.failures += 1
    state.hindrance = { failure, isFinal, retryAtMs: Date.now() + waitMs }
    log.warn(`Sandbox ${sandbox.number} could not be made: ${failure.message}`)
  }

  /** Returns when it is gone; after an hour in vain it is the sweep's, which asks this pool. */
  async #remove(sandbox: PooledSandbox): Promise<void> {
    const { state } = this.#at
    const { placement, mayAppear = false } = sandbox
    if (placement !== undefined) {
      const options = { ...activityOptions.removePoolSandbox, taskQueue: placement.queue }
      const input = { ...this.#ref(sandbox), place: placement.place, mayAppear }
      const summary = `sandbox ${sandbox.number}: ${sandbox.because ?? 'not needed'}`
      const gone = callActivity('removePoolSandbox', { ...options, summary }, input)
      await gone.catch((error: unknown) => {
        log.warn(`Sandbox ${sandbox.number} is left to the sweep: ${failureOf(error).message}`)
      })
    }
    state.sandboxes.splice(state.sandboxes.indexOf(sandbox), 1)
    state.counts.removed += 1
  }

  /** A slot that is not certain to be clean is given to nobody: its sandbox is replaced. */
  async #reset(sandbox: PooledSandbox): Promise<void> {
    const { placement, resetting = [], resets } = sandbox
    if (placement === undefined) return
    const slots = sandbox.slots.filter(({ slot }) => resetting.includes(slot))
    const input = { ...this.#ref(sandbox), place: placement.place, reset: resets }
    const phases = slots.map(({ slot, phase }) => ({ slot, phase }))
    try {
      const options = { ...activityOptions.resetSlots, taskQueue: placement.queue }
      const summary = `sandbox ${sandbox.number}, slots ${resetting.join(', ')}`
      await callActivity('resetSlots', { ...options, summary }, { ...input, slots: phases })
      for (const slot of slots) delete slot.isDirty
    } catch (error) {
      if (sandbox.state === 'ready') sandbox.state = 'draining'
      sandbox.because ??= `a slot could not be reset: ${failureOf(error).message}`
    }
    delete sandbox.resetting
  }

  async #check(placement: Placement, live: readonly PooledSandbox[]): Promise<void> {
    const { pool, profile, state } = this.#at
    const sandboxes = live.map(({ number }) => number)
    const suspects = live.filter(({ isSuspect }) => isSuspect)
    const input = { pool, owner: state.owner, profile, place: placement.place, sandboxes }
    try {
      const options = { ...activityOptions.checkPool, taskQueue: placement.queue, summary: placement.place }
      const { dead } = await callActivity('checkPool', options, input)
      delete state.misses[placement.queue]
      for (const sandbox of suspects) delete sandbox.isSuspect
      for (const { sandboxNumber, reason } of dead) this.#lost(sandboxNumber, reason)
      // What became suspect meanwhile may have died after the look.
      if (live.some(({ isSuspect, state: now }) => isSuspect && isLive(now))) state.nextCheckMs = Date.now()
    } catch (error) {
      this.#notChecked(placement, live, error)
    }
  }

  /** A provider that does not answer has not lost anything. A place that nobody reaches, asked twice, has. */
  #notChecked({ queue }: Placement, live: readonly PooledSandbox[], error: unknown): void {
    const { state } = this.#at
    if (!isMissed(error)) return log.warn(`Not checked: ${failureOf(error).message}`)
    const missed = (state.misses[queue] ?? 0) + 1
    state.misses[queue] = missed
    state.nextCheckMs = Date.now()
    if (missed < missesUntilLost) return
    delete state.misses[queue]
    for (const { number } of live) this.#lost(number, 'no worker reaches its host')
  }

  #lost(number: number, reason: string): void {
    const { state } = this.#at
    const sandbox = state.sandboxes.find((one) => one.number === number)
    if (sandbox === undefined || !isLive(sandbox.state)) return
    for (const placed of leasesIn(sandbox)) {
      endLease(state, placed, { reason: 'sandbox-lost', nowMs: Date.now(), keeps: false })
    }
    sandbox.state = 'removing'
    sandbox.because = reason
    sandbox.isDead = true
    state.counts.lost += 1
  }

  /** Leases of workflows that are over end as if they were released. */
  async #checkHolders(workflows: readonly string[]): Promise<void> {
    const { state } = this.#at
    const options = { ...activityOptions.findClosedWorkflows, summary: `${workflows.length} holders` }
    const checking = callActivity('findClosedWorkflows', options, { workflows })
    const closed = await checking.catch((error: unknown) => {
      log.warn(`Holders were not checked: ${failureOf(error).message}`)
      return none
    })
    for (const placed of heldLeases(state)) {
      if (placed.lease.workflow === undefined || !closed.includes(placed.lease.workflow)) continue
      endLease(state, placed, { reason: 'expired', nowMs: Date.now(), keeps: false })
    }
  }

  #ref(sandbox: PooledSandbox) {
    const { pool, profile, state } = this.#at
    return { pool, owner: state.owner, sandboxNumber: sandbox.number, profile }
  }
}

const defaultStartMs = 600_000
const none: readonly string[] = []

/** Final for the sandbox that it happened to; the next one may fare better. */
const passing: ReadonlySet<Failure['code']> = new Set([
  'sandbox-lost',
  'host-lost',
  'acquire-timeout',
  'sandbox-start-timeout',
  'cancelled',
])

function isLive(state: PooledSandbox['state']): boolean {
  return state === 'ready' || state === 'draining'
}

/** Nobody has begun it in time. */
function isMissed(error: unknown): boolean {
  const cause = error instanceof ActivityFailure ? error.cause : undefined
  return cause instanceof TimeoutFailure && cause.timeoutType === 'SCHEDULE_TO_START'
}
