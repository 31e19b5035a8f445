import type { Client } from '@temporalio/client'
import type { ActivityServices } from '../activities/services.ts'
import { isPoolGone, PoolClient } from '../client/sandboxes/pool-client.ts'

/** Slots of pools for the rollouts of this worker: those that ask at the same time share messages. */
export function poolSlots(client: Client): ActivityServices['pools'] {
  const pools = new Map<string, PoolClient>()
  const pool = (id: string): PoolClient => {
    const known = pools.get(id) ?? new PoolClient({ client, id })
    pools.set(id, known)
    return known
  }
  return {
    // Whoever goes on with the rollout asks for the same holder, and finds its place in the queue.
    acquire: (id, { holder, ...options }) => pool(id).acquire(holder, { ...options, keepsPlace: true }),
    release: async (id, { holder, ...how }) => {
      try {
        await pool(id).releaseHolder(holder, how)
      } catch (error) {
        // It has ended with everything in it.
        if (!isPoolGone(error)) throw error
      }
    },
  }
}
