import type { Placement, RolloutRef } from '../protocol/activities.ts'
import { parseRolloutName, rolloutId } from '../protocol/names.ts'
import type { JobContext } from './job-context.ts'
import { acquirePooled } from './pooled-sandbox.ts'
import { profileOf } from './rollout-spec.ts'
import { sandboxName } from './sandbox-name.ts'
import type { ActivityServices } from './services.ts'

/**
 * Answers with this worker's place, if there is room; with that of a sandbox out of a pool, which it is given. Creates nothing, so it is safe to run twice: another host may
 * answer the second time, and only the answer that the history keeps counts.
 * @throws RollcallError `provider-busy` when this place holds as many sandboxes as it may
 */
export async function placeRollout(
  input: RolloutRef,
  { context, services, signal }: { context: JobContext; services: ActivityServices; signal: AbortSignal },
): Promise<Placement> {
  const task = await context.task(parseRolloutName(input.rollout).task)
  const profile = profileOf(task, context.options)
  if (profile !== undefined) {
    const { place, queue } = await acquirePooled(input, { context, task, profile, services, signal })
    return { place, queue }
  }
  const provider = await context.provider()
  const { namespace } = services
  const workflow = rolloutId(input.job, input.rollout)
  const { incarnation } = input
  await services.room.give(provider, sandboxName({ namespace, rolloutId: workflow, role: 'main', incarnation }))
  return await services.reach(context.options.provider)
}
