import type { Placement, RolloutRef } from '../protocol/activities.ts'
import { rolloutId } from '../protocol/names.ts'
import type { JobContext } from './job-context.ts'
import { sandboxName } from './sandbox-name.ts'
import type { ActivityServices } from './services.ts'

/**
 * Answers with this worker's place, if there is room. Creates nothing, so it is safe to run twice: another host may
 * answer the second time, and only the answer that the history keeps counts.
 * @throws RollcallError `provider-busy` when this place holds as many sandboxes as it may
 */
export async function placeRollout(
  input: RolloutRef,
  { context, services }: { context: JobContext; services: ActivityServices },
): Promise<Placement> {
  const provider = await context.provider()
  const { namespace } = services
  const workflow = rolloutId(input.job, input.rollout)
  const { incarnation } = input
  await services.room.give(provider, sandboxName({ namespace, rolloutId: workflow, role: 'main', incarnation }))
  return await services.reach(context.options.provider)
}
