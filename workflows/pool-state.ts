import type { MadeSandbox, Placement } from '../protocol/activities.ts'
import type { Failure } from '../protocol/failure.ts'
import type { LeaseEnd, PoolCounts, Profile, SandboxState, SlotRequest } from '../protocol/pool.ts'

/** Everything a pool's workflow must remember, as plain JSON: it survives continue-as-new. Times are milliseconds since 1970. */
export interface PoolState {
  /** Owner nonce of all its sandboxes. */
  readonly owner: string
  /** Number of the latest sandbox; none is used twice. */
  lastSandbox: number
  minSandboxes: number
  maxSandboxes: number
  /** `draining`: ends when the last lease has ended; `purging`: ends them. */
  stopping?: 'draining' | 'purging'
  readonly sandboxes: PooledSandbox[]
  /** The first first. */
  readonly queue: Waiter[]
  /** Leases that have ended, the latest last: told to holders that still renew them. */
  readonly ended: { readonly id: string; readonly reason: LeaseEnd }[]
  readonly counts: { -readonly [Name in keyof PoolCounts]: PoolCounts[Name] }
  /** Why no sandbox can be made, until when none is tried; `isFinal`: the same again would fail the same way. */
  hindrance?: { readonly failure: Failure; readonly isFinal: boolean; readonly retryAtMs: number }
  /** How often in a row no sandbox could be made. */
  failures: number
  nextCheckMs: number
  nextHolderCheckMs: number
  /** Checks of a place, by its queue, that nobody began in time. */
  readonly misses: Record<string, number>
}

export interface PooledSandbox {
  readonly number: number
  state: SandboxState
  /** Why it drains or goes. */
  because?: string
  /** Where it is: chosen before anything is created there. */
  placement?: Placement
  made?: MadeSandbox
  /** It has ended by itself: it counts for nothing any more, and is only cleared away. */
  isDead?: true
  /** Somebody says that it does not answer: nobody gets a slot before the next check. */
  isSuspect?: true
  /** Its making has ended without an answer: it may still appear. */
  mayAppear?: true
  /** Since when nobody has a lease in it. */
  idleSinceMs: number
  /** How many resets were begun in it: the exec id of each. */
  resets: number
  /** Slots of the reset that is under way. */
  resetting?: readonly number[]
  readonly slots: Slot[]
}

export interface Slot {
  readonly slot: number
  /** Of the latest lease; grows. */
  phase: number
  lease?: HeldLease
  /** Nobody else may have it before it was reset. */
  isDirty?: true
  /** Whose files it has, where they may stay until somebody needs the slot. */
  kept?: { readonly holder: string; readonly sinceMs: number }
}

export interface HeldLease {
  readonly id: string
  readonly holder: string
  readonly hasFiles: boolean
  readonly leaseMs: number
  /** Absent: as long as `workflow` runs. */
  expiresAtMs?: number
  readonly workflow?: string
  /** What its holder did cannot be undone by resetting the slot. */
  readonly whole?: true
}

export interface Waiter {
  readonly request: SlotRequest
  lastAskedMs: number
}

export interface PlacedLease {
  readonly sandbox: PooledSandbox
  readonly slot: Slot
  readonly lease: HeldLease
}

/** At the beginning of a pool. */
export function newPoolState(at: { owner: string; profile: Profile }): PoolState {
  const { minSandboxes, maxSandboxes } = at.profile
  return {
    owner: at.owner,
    lastSandbox: 0,
    minSandboxes,
    maxSandboxes,
    sandboxes: [],
    queue: [],
    ended: [],
    counts: { created: 0, removed: 0, lost: 0, granted: 0, released: 0, expired: 0, resets: 0 },
    failures: 0,
    nextCheckMs: 0,
    nextHolderCheckMs: 0,
    misses: {},
  }
}

/** Every lease that is held. */
export function heldLeases(state: PoolState): PlacedLease[] {
  return state.sandboxes.flatMap((sandbox) =>
    sandbox.slots.flatMap((slot) => (slot.lease === undefined ? [] : [{ sandbox, slot, lease: slot.lease }])),
  )
}

export function leaseOf(state: PoolState, holder: string): PlacedLease | undefined {
  for (const sandbox of state.sandboxes) {
    for (const slot of sandbox.slots) {
      if (slot.lease?.holder === holder) return { sandbox, slot, lease: slot.lease }
    }
  }
  return undefined
}

export function hasLeases({ slots }: PooledSandbox): boolean {
  return slots.some(({ lease }) => lease !== undefined)
}

/** Why a lease is no longer held; unknown when that was too long ago. */
export function endOf(state: PoolState, id: string): LeaseEnd {
  return state.ended.find((ended) => ended.id === id)?.reason ?? 'unknown'
}
