import { drainsAtMs } from './pool-decide.ts'
import type { Deciding } from './pool-decide.ts'
import { hasLeases } from './pool-state.ts'
import type { PooledSandbox } from './pool-state.ts'
import { poolTiming } from './pool-timing.ts'

/** When a pool has to look again by itself, later than now; undefined when nothing comes due. */
export function nextWakeMs(deciding: Deciding): number | undefined {
  const { state, nowMs } = deciding
  const times = [
    ...state.sandboxes.flatMap((sandbox) => timesOf(sandbox, deciding)),
    ...state.queue.map(({ lastAskedMs }) => lastAskedMs + poolTiming.askedWithinMs),
    ...(state.hindrance === undefined ? [] : [state.hindrance.retryAtMs]),
  ]
  // What is due already was done, or can only be done after something else.
  const later = times.filter((time) => time > nowMs)
  return later.length === 0 ? undefined : Math.min(...later)
}

function timesOf(sandbox: PooledSandbox, { state, profile }: Deciding): number[] {
  if (sandbox.made === undefined || sandbox.state === 'removing') return []
  const times = [state.nextCheckMs, drainsAtMs(profile, sandbox.made.endsAtMs)]
  if (!hasLeases(sandbox)) times.push(sandbox.idleSinceMs + profile.idleTimeoutMs)
  for (const { lease, kept } of sandbox.slots) {
    if (lease?.expiresAtMs !== undefined) times.push(lease.expiresAtMs + poolTiming.graceMs)
    if (lease?.workflow !== undefined) times.push(state.nextHolderCheckMs)
    if (kept !== undefined) times.push(kept.sinceMs + profile.idleTimeoutMs)
  }
  return times
}
