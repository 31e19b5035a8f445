import type { PooledSandboxStatus, PoolStatus, Profile, SlotState } from '../protocol/pool.ts'
import type { PooledSandbox, PoolState, Slot } from './pool-state.ts'

/** What a pool tells about itself. */
export function poolStatus(state: PoolState, at: { pool: string; profile: Profile }): PoolStatus {
  const { minSandboxes, maxSandboxes, stopping, hindrance, counts } = state
  const sandboxes = state.sandboxes.map(sandboxStatus)
  const there = sandboxes.filter((sandbox) => sandbox.state === 'ready' || sandbox.state === 'draining')
  const slots = there.flatMap((sandbox) => sandbox.slots)
  const count = (wanted: SlotState): number => slots.filter((slot) => slot.state === wanted).length
  const endings = { draining: 'draining', purging: 'stopping' } as const
  return {
    ...at,
    state: stopping === undefined ? 'running' : sandboxes.length === 0 ? 'ended' : endings[stopping],
    minSandboxes,
    maxSandboxes,
    sandboxes,
    slots: { total: slots.length, free: count('free'), leased: count('leased'), kept: count('kept') },
    queue: state.queue.map(({ request }) => request.holder),
    counts: { ...counts },
    ...(hindrance === undefined ? {} : { hindrance: hindrance.failure }),
  }
}

function sandboxStatus(sandbox: PooledSandbox): PooledSandboxStatus {
  const { number, state, because, made, placement } = sandbox
  return {
    number,
    state,
    ...(made === undefined ? {} : { name: made.name, endsAtMs: made.endsAtMs }),
    ...(placement === undefined ? {} : { place: placement.place }),
    ...(because === undefined ? {} : { because }),
    slots: sandbox.slots.map((slot) => slotStatus(slot, sandbox.resetting ?? [])),
  }
}

function slotStatus({ slot, lease, kept, isDirty }: Slot, resetting: readonly number[]) {
  if (lease !== undefined) return { slot, state: 'leased' as const, holder: lease.holder }
  if (kept !== undefined) return { slot, state: 'kept' as const, holder: kept.holder }
  return { slot, state: isDirty === true || resetting.includes(slot) ? ('resetting' as const) : ('free' as const) }
}
