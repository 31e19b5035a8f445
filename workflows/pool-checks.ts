import type { Failure } from '../protocol/failure.ts'
import type { AcquireRequest, Profile, ResizeRequest, SlotRequest } from '../protocol/pool.ts'
import type { PoolState } from './pool-state.ts'
import { poolTiming } from './pool-timing.ts'

/** What a pool does not take, before anything is changed. What they throw is the update's failure. */

const longestHolder = 400
const mostSlots = 200
const shortestLeaseMs = 1_000
const longestLeaseMs = 24 * 3_600_000
/** Making a sandbox takes of its life. */
const makingMs = 60_000

export function assertAcquire({ slots }: AcquireRequest): void {
  if (slots.length < 1 || slots.length > mostSlots) throw new Error(`Ask for 1 to ${mostSlots} slots at once`)
  for (const { holder, leaseMs = poolTiming.leaseMs } of slots) {
    if (holder.length < 1 || holder.length > longestHolder) {
      throw new Error(`Holder is ${JSON.stringify(holder)}: expected 1 to ${longestHolder} characters`)
    }
    if (!(leaseMs >= shortestLeaseMs && leaseMs <= longestLeaseMs)) {
      throw new Error(`leaseMs is ${leaseMs}: expected ${shortestLeaseMs} to ${longestLeaseMs} milliseconds`)
    }
  }
}

export function assertSize({ minSandboxes, maxSandboxes }: Required<ResizeRequest>): void {
  if (Number.isInteger(minSandboxes) && Number.isInteger(maxSandboxes)) {
    if (minSandboxes >= 0 && maxSandboxes >= 1 && minSandboxes <= maxSandboxes && maxSandboxes <= 1_000) return
  }
  throw new Error(
    `Sizes are ${minSandboxes} to ${maxSandboxes}: expected whole numbers, 0 ≤ least ≤ most ≤ 1000, most ≥ 1`,
  )
}

/** Why it is no use to wait in the queue, for who has no lease. */
export function refusalOf(at: {
  state: PoolState
  profile: Profile
  nowMs: number
  request: SlotRequest
}): Failure | undefined {
  const { state, profile, nowMs, request } = at
  const { neededMs = 0, whole = false } = request
  if (state.stopping !== undefined)
    return { code: 'acquire-timeout', message: 'The pool stops and gives out no more slots.' }
  if (whole && profile.slotsPerSandbox > 1) {
    const message = `Profile ${profile.name} has ${profile.slotsPerSandbox} slots per sandbox: a whole one is asked for`
    return { code: 'configuration-invalid', message }
  }
  if (neededMs > 0 && neededMs + makingMs > profile.maxLifetimeMs) {
    return {
      code: 'configuration-invalid',
      message: `Profile ${profile.name} has maxLifetimeMs ${profile.maxLifetimeMs}, of which ${makingMs} may go for making a sandbox: ${neededMs} are needed`,
    }
  }
  const { hindrance } = state
  return hindrance?.isFinal === true && hindrance.retryAtMs > nowMs ? hindrance.failure : undefined
}
