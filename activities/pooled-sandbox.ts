import type { Lease } from '../protocol/activities.ts'
import type { SlotLease } from '../protocol/pool.ts'
import { rolloutId } from '../protocol/names.ts'
import type { Profile } from '../protocol/pool.ts'
import type { JobContext } from './job-context.ts'
import { neededMs, poolOf } from './rollout-spec.ts'
import type { ActivityServices } from './services.ts'
import type { Task } from '../tasks/task.ts'

interface Incarnation {
  readonly job: string
  readonly rollout: string
  readonly incarnation: number
}

export interface PooledDependencies {
  readonly context: Pick<JobContext, 'options'>
  readonly task: Task
  readonly profile: Profile
  readonly services: Pick<ActivityServices, 'pools'>
}

/** Its sandbox is acquired for (rollout, incarnation): asking again gives the same one. */
function holderOf(input: Incarnation): string {
  return `${rolloutId(input.job, input.rollout)}/${input.incarnation}`
}

/**
 * Takes a whole sandbox out of a pool, for as long as the rollout's workflow runs. Safe to run twice: by holder. What an
 * earlier incarnation had is given back first, and looked after.
 * @throws RollcallError `acquire-timeout`, or why the pool cannot make any
 */
export async function acquirePooled(
  input: Incarnation,
  at: PooledDependencies & { signal: AbortSignal },
): Promise<SlotLease> {
  const { context, task, profile, services, signal } = at
  const pool = poolOf(profile, context.options)
  const workflow = rolloutId(input.job, input.rollout)
  if (input.incarnation > 1) {
    const holder = holderOf({ ...input, incarnation: input.incarnation - 1 })
    await services.pools.release(pool, { holder, workflow, suspect: true })
  }
  return await services.pools.acquire(pool, {
    holder: holderOf(input),
    workflow,
    whole: true,
    neededMs: neededMs({ task, options: context.options }),
    timeoutMs: profile.acquireTimeoutMs,
    signal,
  })
}

/** Gives back what incarnations of a rollout may have: the pool replaces it. Twice is fine. */
export async function releasePooled(
  input: Omit<Incarnation, 'incarnation'> & { incarnations: readonly number[] },
  { context, profile, services }: PooledDependencies,
): Promise<void> {
  const pool = poolOf(profile, context.options)
  const workflow = rolloutId(input.job, input.rollout)
  for (const incarnation of input.incarnations) {
    await services.pools.release(pool, { holder: holderOf({ ...input, incarnation }), workflow })
  }
}

/** The lease that the rollout's other activities get. */
export function leaseOfSlot(slot: SlotLease, incarnation: number): Lease {
  const { provider, place, sandbox, spec } = slot
  return { provider: provider.name, options: provider.options, place, sandbox, incarnation, spec }
}
