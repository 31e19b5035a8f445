import { slotScope, slotUser, slotWorkspace } from '../protocol/names.ts'
import type { LeaseEnd, ReleaseAnswer, ReleaseRequest, SlotLease, SlotRequest } from '../protocol/pool.ts'
import type { Deciding } from './pool-decide.ts'
import { leaseOf } from './pool-state.ts'
import type { PlacedLease, PooledSandbox, PoolState, Slot } from './pool-state.ts'
import { poolTiming } from './pool-timing.ts'

/** What becomes of a lease: granted, renewed, released, ended. All of it changes the state and does nothing else. */

export function grant(
  at: { sandbox: PooledSandbox; slot: Slot; request: SlotRequest },
  { state, nowMs, newId }: Deciding,
): void {
  const { slot, request } = at
  const { holder, workflow, whole = false, leaseMs = poolTiming.leaseMs } = request
  const life = workflow === undefined ? { expiresAtMs: nowMs + leaseMs } : { workflow }
  slot.phase += 1
  slot.lease = { id: newId(), holder, hasFiles: slot.kept !== undefined, leaseMs, ...life, ...(whole ? { whole } : {}) }
  delete slot.kept
  state.counts.granted += 1
}

/** @param how.keeps the files stay for the holder until somebody else needs the slot */
export function endLease(
  state: PoolState,
  { sandbox, slot, lease }: PlacedLease,
  how: { reason: LeaseEnd; nowMs: number; keeps: boolean },
): void {
  delete slot.lease
  slot.isDirty = true
  if (lease.whole === true && sandbox.state === 'ready') {
    sandbox.state = 'draining'
    sandbox.because ??= 'it was used as a whole'
  }
  if (how.keeps) {
    slot.kept = { holder: lease.holder, sinceMs: how.nowMs }
    delete slot.isDirty
  }
  if (sandbox.slots.every((other) => other.lease === undefined)) sandbox.idleSinceMs = how.nowMs
  state.ended.push({ id: lease.id, reason: how.reason })
  if (how.reason === 'released') state.counts.released += 1
  if (how.reason === 'expired') state.counts.expired += 1
}

export function leasesIn(sandbox: PooledSandbox): PlacedLease[] {
  return sandbox.slots.flatMap((slot) => (slot.lease === undefined ? [] : [{ sandbox, slot, lease: slot.lease }]))
}

/** Puts a holder in the queue, or says that it is still there; one that has a lease holds on to it. */
export function ask(state: PoolState, request: SlotRequest, nowMs: number): void {
  const held = leaseOf(state, request.holder)
  if (held !== undefined) return renew(held, nowMs)
  const waiter = state.queue.find((one) => one.request.holder === request.holder)
  if (waiter === undefined) state.queue.push({ request, lastAskedMs: nowMs })
  else waiter.lastAskedMs = nowMs
}

export function renew({ lease }: PlacedLease, nowMs: number): void {
  if (lease.expiresAtMs !== undefined) lease.expiresAtMs = nowMs + lease.leaseMs
}

/** Compare-and-set on id and holder. */
export function release(state: PoolState, request: ReleaseRequest, nowMs: number): ReleaseAnswer {
  const { holder, id, workflow, reset, suspect = false } = request
  if (id === undefined && leaveQueue(state, holder)) return 'released'
  const held = leaseOf(state, holder)
  if (held === undefined || !isMeant(held, { id, workflow })) return 'not-held'
  endLease(state, held, { reason: 'released', nowMs, keeps: !reset })
  if (suspect) {
    held.sandbox.isSuspect = true
    state.nextCheckMs = nowMs
  }
  return 'released'
}

/** @param by.id of the lease; without it the lease must be that of a workflow, which has one holder for each */
function isMeant({ lease }: PlacedLease, by: { id: string | undefined; workflow: string | undefined }): boolean {
  return by.id === undefined ? by.workflow !== undefined && lease.workflow === by.workflow : lease.id === by.id
}

function leaveQueue(state: PoolState, holder: string): boolean {
  const index = state.queue.findIndex((one) => one.request.holder === holder)
  if (index !== -1) state.queue.splice(index, 1)
  return index !== -1
}

/** After a time in which nobody served the pool nobody could renew or ask: both count from now. */
export function forgiveOutage(state: PoolState, nowMs: number): void {
  for (const { slots } of state.sandboxes) {
    for (const { lease } of slots) {
      if (lease?.expiresAtMs !== undefined) lease.expiresAtMs = Math.max(lease.expiresAtMs, nowMs + lease.leaseMs)
    }
  }
  for (const waiter of state.queue) waiter.lastAskedMs = nowMs
}

/** What the holder is told. */
export function describeLease(
  { sandbox, slot, lease }: PlacedLease,
  at: Pick<Deciding, 'profile'> & { pool: string },
): SlotLease | undefined {
  const { made, placement } = sandbox
  if (made === undefined || placement === undefined) return undefined
  const { profile, pool } = at
  const { id, holder, hasFiles, expiresAtMs, workflow } = lease
  return {
    id,
    pool,
    profile: profile.name,
    holder,
    provider: profile.provider,
    place: placement.place,
    queue: placement.queue,
    sandbox: made.name,
    sandboxNumber: sandbox.number,
    spec: made.spec,
    image: made.image,
    slot: slot.slot,
    ...(profile.slotUser === 'own' ? { user: slotUser(slot.slot) } : {}),
    workspace: slotWorkspace(profile.workspaceBase, slot.slot),
    workdir: made.workdir,
    scope: slotScope(slot.slot),
    phase: slot.phase,
    execTimeoutMs: profile.execTimeoutMs,
    hasFiles,
    ...(expiresAtMs === undefined ? {} : { expiresAtMs }),
    ...(workflow === undefined ? {} : { workflow }),
    sandboxEndsAtMs: made.endsAtMs,
  }
}
