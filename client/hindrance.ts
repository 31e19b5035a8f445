import { WorkflowNotFoundError } from '@temporalio/client'
import type { Client } from '@temporalio/client'
import { providerTaskQueue, rolloutId, sharedTaskQueue } from '../protocol/names.ts'
import type { RolloutPhase } from '../protocol/names.ts'
import type { TemporalConnection } from './connect.ts'
import { isPolled } from './job-worker.ts'
import { pendingStep, retryOf } from './pending-step.ts'

/** What keeps a job from going on. The server is asked, since it knows also where no worker answers. */

/** The step of a rollout that has failed and is tried again. */
export interface RetriedStep {
  /** The attempt that runs or is waited for; the first one is 1. */
  readonly attempt: number
  /** What the attempt before it ended with: one line. */
  readonly message: string
}

/** The step that a rollout is in. */
export interface RunningStep {
  readonly phase: RolloutPhase
  /** Absent while all goes well. */
  readonly retried?: RetriedStep
}

/** @returns undefined between two steps, and for a rollout that does not run */
export async function runningStep(client: Client, job: string, rollout: string): Promise<RunningStep | undefined> {
  try {
    const step = pendingStep(await client.workflow.getHandle(rolloutId(job, rollout)).describe())
    if (step === undefined) return undefined
    const retry = retryOf(step)
    const phase = step.phase === 'place' ? 'open' : step.phase
    if (retry?.failure === undefined) return { phase }
    return { phase, retried: { attempt: retry.attempt, message: retry.failure.message } }
  } catch (error) {
    if (error instanceof WorkflowNotFoundError) return undefined
    throw error
  }
}

/**
 * @param at `ownWorker`: this client starts the job's own worker where it needs one
 * @returns a sentence for who waits for a running job that no worker serves, and what nobody takes; else undefined
 */
export async function missingWorker(
  temporal: TemporalConnection,
  at: { job: string; ownWorker: boolean },
): Promise<{ readonly message: string; readonly of: 'workflows' | 'sandboxes' } | undefined> {
  const { status, taskQueue, memo } = await temporal.client.workflow.getHandle(at.job).describe()
  const isShared = taskQueue === sharedTaskQueue
  if (status.name !== 'RUNNING' || (at.ownWorker && !isShared)) return undefined
  const provider = isShared ? memo?.['provider'] : undefined
  const isServed = await isPolled(temporal, taskQueue)
  const missing = isServed ? await missingProvider(temporal, provider) : taskQueue
  if (missing === undefined) return undefined
  const remedy = isShared ? sharedRemedy(provider) : `\`rollcall watch ${at.job}\``
  const message = `job ${at.job} waits for a worker, and none serves the task queue ${missing}: ${remedy} starts one`
  return { message, of: isServed ? 'sandboxes' : 'workflows' }
}

/** @returns the queue on which no host with the job's provider asks for rollouts */
async function missingProvider(temporal: TemporalConnection, provider: unknown): Promise<string | undefined> {
  if (typeof provider !== 'string') return undefined
  const queue = providerTaskQueue(provider)
  return (await isPolled(temporal, queue, 'activities')) ? undefined : queue
}

function sharedRemedy(provider: unknown): string {
  const where = typeof provider === 'string' ? `, on a host that has the provider ${provider},` : ','
  return `\`rollcall worker\` with this server and store${where}`
}
