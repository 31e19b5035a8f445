import type { Profile } from '../protocol/pool.ts'
import { endLease, grant } from './pool-leases.ts'
import { hasLeases, heldLeases } from './pool-state.ts'
import type { PooledSandbox, PoolState, Slot, Waiter } from './pool-state.ts'
import { endedRemembered, makingAtOnce, poolTiming } from './pool-timing.ts'

/** What a decision is made of. */
export interface Deciding {
  readonly state: PoolState
  readonly profile: Profile
  readonly nowMs: number
  readonly newId: () => string
}

/**
 * Brings a pool to where it should be by now: who has waited longest gets what is free, what is over ends, and every
 * sandbox gets the state that says what is to be done with it. Pure but for the state. Doing it again changes nothing.
 */
export function decide(deciding: Deciding): void {
  expire(deciding)
  drainOld(deciding)
  serveQueue(deciding)
  beginResets(deciding)
  drainUnusable(deciding)
  shrink(deciding)
  giveWay(deciding)
  removeDrained(deciding)
  grow(deciding)
}

/** The slots of a sandbox that takes new leases. */
function isOpen({ state, isSuspect }: PooledSandbox): boolean {
  return state === 'ready' && isSuspect === undefined
}

function expire({ state, nowMs }: Deciding): void {
  for (const placed of heldLeases(state)) {
    const { expiresAtMs = Infinity } = placed.lease
    if (state.stopping === 'purging') endLease(state, placed, { reason: 'released', nowMs, keeps: false })
    else if (expiresAtMs + poolTiming.graceMs <= nowMs) {
      endLease(state, placed, { reason: 'expired', nowMs, keeps: false })
    }
  }
  const asking = state.queue.filter(({ lastAskedMs }) => lastAskedMs + poolTiming.askedWithinMs > nowMs)
  if (asking.length < state.queue.length) state.queue.splice(0, Infinity, ...asking)
  if (state.ended.length > endedRemembered) state.ended.splice(0, state.ended.length - endedRemembered)
}

/** When a sandbox takes no new leases any more. */
export function drainsAtMs(profile: Profile, endsAtMs: number): number {
  return endsAtMs - Math.min(poolTiming.drainMs, profile.maxLifetimeMs * poolTiming.drainShare)
}

function drainOld({ state, profile, nowMs }: Deciding): void {
  for (const sandbox of state.sandboxes) {
    if (sandbox.state !== 'ready' || sandbox.made === undefined) continue
    if (state.stopping !== undefined) drain(sandbox, 'the pool stops')
    else if (drainsAtMs(profile, sandbox.made.endsAtMs) <= nowMs) drain(sandbox, 'its lifetime is nearly over')
  }
}

function drain(sandbox: PooledSandbox, because: string): void {
  sandbox.state = 'draining'
  sandbox.because ??= because
}

/** First come, first served; who needs what is not there lets the next one pass. */
function serveQueue(deciding: Deciding): void {
  const { state } = deciding
  if (state.queue.length === 0) return
  const left = state.queue.filter((waiter) => !serve(waiter, deciding))
  if (left.length < state.queue.length) state.queue.splice(0, Infinity, ...left)
}

function serve(waiter: Waiter, deciding: Deciding): boolean {
  const { state, nowMs } = deciding
  const lasting = state.sandboxes.filter((sandbox) => isOpen(sandbox) && lastsFor(sandbox, waiter, nowMs))
  const found = slotFor(waiter.request.holder, lasting)
  if (found === undefined) return false
  grant({ ...found, request: waiter.request }, deciding)
  return true
}

function lastsFor({ made }: PooledSandbox, { request }: Waiter, nowMs: number): boolean {
  return made !== undefined && made.endsAtMs - nowMs >= (request.neededMs ?? 0)
}

/** The slot with the holder's own files, else a clean one of the sandbox that is fullest: so that others can go. */
function slotFor(holder: string, sandboxes: PooledSandbox[]): { sandbox: PooledSandbox; slot: Slot } | undefined {
  let best: { sandbox: PooledSandbox; slot: Slot; used: number } | undefined
  for (const sandbox of sandboxes) {
    const own = sandbox.slots.find(({ lease, kept }) => lease === undefined && kept?.holder === holder)
    if (own !== undefined) return { sandbox, slot: own }
    const slot = sandbox.slots.find(isClean)
    if (slot === undefined) continue
    const used = sandbox.slots.filter(({ lease }) => lease !== undefined).length
    if (best === undefined || used > best.used) best = { sandbox, slot, used }
  }
  return best
}

export function isClean({ lease, isDirty, kept }: Slot): boolean {
  return lease === undefined && isDirty === undefined && kept === undefined
}

/** Who waits and will not be served by what is being made or reset. */
function unserved({ state, profile }: Deciding): number {
  const coming = state.sandboxes
    .map((sandbox) => {
      if (sandbox.state === 'creating') return profile.slotsPerSandbox
      return isOpen(sandbox) ? (sandbox.resetting?.length ?? 0) : 0
    })
    .reduce((sum, slots) => sum + slots, 0)
  return Math.max(0, state.queue.length - coming)
}

/** Slots that must be clean: those that were given back so, those that somebody needs, and those kept for too long. */
function beginResets(deciding: Deciding): void {
  const { state, profile, nowMs } = deciding
  let needed = unserved(deciding)
  const kept = state.sandboxes.flatMap((sandbox) => (isOpen(sandbox) ? sandbox.slots : [])).filter(isKept)
  for (const slot of kept.toSorted((a, b) => (a.kept?.sinceMs ?? 0) - (b.kept?.sinceMs ?? 0))) {
    const isOver = (slot.kept?.sinceMs ?? 0) + profile.idleTimeoutMs <= nowMs
    if (needed <= 0 && !isOver) continue
    delete slot.kept
    slot.isDirty = true
    needed -= 1
  }
  if (profile.slotUser === 'sandbox') return
  for (const sandbox of state.sandboxes) {
    if (!isOpen(sandbox) || sandbox.resetting !== undefined) continue
    const dirty = sandbox.slots.filter(({ isDirty }) => isDirty === true).map(({ slot }) => slot)
    if (dirty.length === 0) continue
    sandbox.resetting = dirty
    sandbox.resets += 1
    state.counts.resets += dirty.length
  }
}

function isKept({ lease, kept }: Slot): boolean {
  return lease === undefined && kept !== undefined
}

/** A sandbox whose slot has no user of its own cannot be cleaned from inside: it is replaced. */
function drainUnusable({ state, profile }: Deciding): void {
  if (profile.slotUser !== 'sandbox') return
  for (const sandbox of state.sandboxes) {
    if (sandbox.state === 'ready' && sandbox.slots.some(({ isDirty }) => isDirty === true))
      drain(sandbox, 'it was used')
  }
}

/** Down to the least number, those first that nobody has needed for longest; above the most, without waiting. */
function shrink({ state, profile, nowMs }: Deciding): void {
  const counted = state.sandboxes.filter((sandbox) => sandbox.state === 'ready' || sandbox.state === 'creating')
  const idle = counted
    .filter((sandbox) => sandbox.state === 'ready' && !hasLeases(sandbox))
    .toSorted((a, b) => a.idleSinceMs - b.idleSinceMs)
  let surplus = counted.length - state.minSandboxes
  let tooMany = counted.length - state.maxSandboxes
  for (const sandbox of idle) {
    const isUnneeded = state.queue.length === 0 && sandbox.idleSinceMs + profile.idleTimeoutMs <= nowMs
    const because = tooMany > 0 ? 'the pool was made smaller' : 'nobody has needed it'
    if (tooMany <= 0 && (surplus <= 0 || !isUnneeded)) continue
    drain(sandbox, because)
    surplus -= 1
    tooMany -= 1
  }
}

/** Who waits beside a clean slot needs a sandbox that lives longer: where there is no room for one, the other makes it. */
function giveWay({ state }: Deciding): void {
  const there = state.sandboxes.filter(({ isDead }) => isDead === undefined)
  if (state.queue.length === 0 || there.length < state.maxSandboxes) return
  if (there.some((sandbox) => sandbox.state !== 'ready')) return
  const useless = there.find((sandbox) => isOpen(sandbox) && !hasLeases(sandbox) && sandbox.slots.every(isClean))
  if (useless !== undefined) drain(useless, 'it ends too soon for who waits')
}

function removeDrained({ state }: Deciding): void {
  for (const sandbox of state.sandboxes) {
    if (sandbox.state === 'draining' && !hasLeases(sandbox)) sandbox.state = 'removing'
  }
}

/** Only as many as are asked for, or fewer than the least number; never above the most. What has died counts no more. */
function grow(deciding: Deciding): void {
  const { state, profile, nowMs } = deciding
  if (state.stopping !== undefined || (state.hindrance?.retryAtMs ?? 0) > nowMs) return
  const there = state.sandboxes.filter(({ isDead }) => isDead === undefined)
  const usable = there.filter((sandbox) => sandbox.state === 'ready' || sandbox.state === 'creating')
  const making = there.filter((sandbox) => sandbox.state === 'creating')
  const asked = Math.ceil(unserved(deciding) / profile.slotsPerSandbox)
  const wanted = Math.max(asked, state.minSandboxes - usable.length)
  const most = Math.min(wanted, state.maxSandboxes - there.length, makingAtOnce - making.length)
  for (let made = 0; made < most; made += 1) state.sandboxes.push(newSandbox(state, profile, nowMs))
}

function newSandbox(state: PoolState, profile: Profile, nowMs: number): PooledSandbox {
  state.lastSandbox += 1
  const slots = Array.from({ length: profile.slotsPerSandbox }, (_, slot) => ({ slot, phase: 0 }))
  return { number: state.lastSandbox, state: 'creating', idleSinceMs: nowMs, resets: 0, slots }
}
