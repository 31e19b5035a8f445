import type { Placement, RolloutRef } from '../protocol/activities.ts'
import { providerTaskQueue } from '../protocol/names.ts'
import { callActivity } from './activity-stubs.ts'
import { activityOptions } from './timing.ts'

/** Placements by incarnation, as a rollout remembers them. */
export type Placements = Record<number, Placement>

/** The queue of the hosts that have a shared provider; the job's own worker has everything on one queue. */
export function onProviderQueue(sharedProvider: string | undefined): { taskQueue?: string } {
  return sharedProvider === undefined ? {} : { taskQueue: providerTaskQueue(sharedProvider) }
}

/** For what works in a sandbox: it must begin soon, or the host that the sandbox is on is lost. */
export function onReachQueue(
  placement: Placement | undefined,
  hostLostMs: number,
): { taskQueue?: string; scheduleToStartTimeout?: number } {
  return placement === undefined ? {} : { taskQueue: placement.queue, scheduleToStartTimeout: hostLostMs }
}

/** Asks for a host with room. Its answer is in the history before anything is created there. */
export async function choosePlace(
  ref: RolloutRef,
  at: { sharedProvider: string; acquireTimeoutMs: number },
): Promise<Placement> {
  return await callActivity(
    'placeRollout',
    {
      ...activityOptions.placeRollout(at),
      ...onProviderQueue(at.sharedProvider),
      summary: `sandbox ${ref.incarnation}`,
    },
    ref,
  )
}

/** Incarnations 1 to `last` by the place where their sandboxes are; those never placed left nothing. */
export function byPlace(
  last: number,
  placements: Placements | undefined,
): { placement?: Placement; incarnations: number[] }[] {
  const all = Array.from({ length: last }, (_, index) => index + 1)
  if (placements === undefined) return [{ incarnations: all }]
  const byQueue = new Map(Object.values(placements).map((placement) => [placement.queue, placement]))
  return [...byQueue.values()].map((placement) => ({
    placement,
    incarnations: all.filter((incarnation) => placements[incarnation]?.queue === placement.queue),
  }))
}
