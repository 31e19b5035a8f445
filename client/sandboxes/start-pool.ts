import { isDeepStrictEqual } from 'node:util'
import { WorkflowExecutionAlreadyStartedError } from '@temporalio/client'
import { RollcallError } from '../../protocol/failure.ts'
import { poolWorkflowId, sharedTaskQueue } from '../../protocol/names.ts'
import { poolNamePattern } from '../../protocol/pool.ts'
import type { PoolStatus, Profile } from '../../protocol/pool.ts'
import type { poolWorkflow } from '../../workflows/pool.ts'
import { timing } from '../../workflows/timing.ts'
import type { TemporalConnection } from '../connect.ts'
import type { ClientEnvironment } from '../environment.ts'
import { ensureSharedWorker } from '../shared-worker.ts'
import { PoolClient } from './pool-client.ts'

export interface PoolStart {
  readonly temporal: TemporalConnection
  readonly environment: ClientEnvironment
  /** Keeps pools of the same profile apart. Default `default`. */
  readonly pool?: string
  readonly profile: Profile
  readonly onProgress?: (line: string) => void
}

/**
 * Starts the pool of a profile, or attaches to the one that runs; on the embedded server a worker as well where none
 * serves. One that is stopping is waited for, and started anew. Twice, or killed and called again, gives one pool.
 * @throws RollcallError `configuration-invalid` when it runs with another profile, naming the fields that differ; its size
 *   may differ: that is changed by `resize`
 */
export async function startPool({ profile, ...start }: PoolStart): Promise<PoolClient> {
  const [pool] = await startPools({ ...start, profiles: [profile] })
  if (pool === undefined) throw new RollcallError('internal', 'A pool was started and is not there')
  return pool
}

/** As `startPool`, for several profiles: at most one worker is started for all of them. In the order of the profiles. */
export async function startPools({
  profiles,
  ...start
}: Omit<PoolStart, 'profile'> & { readonly profiles: readonly Profile[] }): Promise<PoolClient[]> {
  const { temporal, environment, onProgress = () => {} } = start
  if (profiles.length > 0) await ensureSharedWorker({ temporal, environment, onProgress, what: 'pools' })
  return await Promise.all(profiles.map((profile) => startOne({ ...start, profile })))
}

async function startOne(start: PoolStart): Promise<PoolClient> {
  const { temporal, profile, onProgress = () => {} } = start
  const id = poolId(start.pool ?? 'default', profile.name)
  const client = new PoolClient({ client: temporal.client, id, acquireTimeoutMs: profile.acquireTimeoutMs })
  while (!(await startWorkflow(id, start))) {
    const running = await client.status()
    if (running.state === 'running') {
      assertSameProfile(running, profile)
      return client
    }
    onProgress(`pool ${id} is being stopped: it is started again when it has ended`)
    await client.stop()
  }
  return client
}

/** @throws RollcallError `configuration-invalid` for a bad name */
export function poolId(pool: string, profile: string): string {
  if (poolNamePattern.test(pool)) return poolWorkflowId(pool, profile)
  const expected = 'letters, digits, - and _, at most 50 characters'
  throw new RollcallError('configuration-invalid', `The pool's name is ${JSON.stringify(pool)}: expected ${expected}`)
}

/** @returns whether it was started; else there is one already */
async function startWorkflow(id: string, { temporal, profile }: PoolStart): Promise<boolean> {
  try {
    await temporal.client.workflow.start<typeof poolWorkflow>('poolWorkflow', {
      workflowId: id,
      taskQueue: sharedTaskQueue,
      args: [{ profile }],
      workflowIdReusePolicy: 'ALLOW_DUPLICATE',
      workflowTaskTimeout: timing.workflowTaskTimeoutMs,
      retry: { maximumAttempts: 1 },
      memo: { provider: profile.provider.name },
      staticSummary: `pool of ${profile.provider.name} sandboxes, profile ${profile.name}`,
    })
    return true
  } catch (error) {
    if (error instanceof WorkflowExecutionAlreadyStartedError) return false
    throw error
  }
}

function assertSameProfile({ pool, profile: running }: PoolStatus, asked: Profile): void {
  const names = Object.keys({ ...running, ...asked }) as (keyof Profile)[]
  const differing = names
    .filter((name) => name !== 'minSandboxes' && name !== 'maxSandboxes')
    .filter((name) => !isDeepStrictEqual(running[name], plain(asked[name])))
  if (differing.length === 0) return
  const fields = differing.map(
    (name) => `${name} was ${JSON.stringify(running[name])} and is now ${JSON.stringify(asked[name])}`,
  )
  throw new RollcallError(
    'configuration-invalid',
    `${pool} runs with another profile: ${fields.join('; ')}. Stop it (rollcall pool stop), or give this one another pool name`,
  )
}

/** As it comes back from the server. */
function plain(value: unknown): unknown {
  return value === undefined ? undefined : JSON.parse(JSON.stringify(value))
}
