import { WorkflowFailedError, WorkflowNotFoundError } from '@temporalio/client'
import type { Client } from '@temporalio/client'
import { ActivityFailure, ApplicationFailure, CancelledFailure, TerminatedFailure } from '@temporalio/common'
import { isFailureCode, RollcallError } from '../protocol/failure.ts'
import type { Failure } from '../protocol/failure.ts'
import { planFailureKey } from '../store/keys.ts'
import { getJson } from '../store/stored-json.ts'
import type { Store } from '../store/store.ts'

/** How a job's workflow ended. */
export type JobEnding =
  | { readonly state: 'completed' | 'cancelled' }
  | { readonly state: 'failed'; readonly error: RollcallError }

/** Why a job has failed; undefined while it runs, and when it has ended otherwise. */
export async function failureOf(client: Client, job: string): Promise<RollcallError | undefined> {
  try {
    const handle = client.workflow.getHandle(job)
    const { status } = await handle.describe()
    if (status.name !== 'RUNNING') await handle.result()
    return undefined
  } catch (error) {
    const ending = endingOf(error, job)
    return ending.state === 'failed' ? ending.error : undefined
  }
}

/** What the error says with which a job's workflow closed. @throws any other error */
export function endingOf(error: unknown, job: string): JobEnding {
  if (error instanceof WorkflowNotFoundError) return { state: 'failed', error: jobLost(job) }
  if (!(error instanceof WorkflowFailedError)) throw error
  if (error.cause instanceof CancelledFailure) return { state: 'cancelled' }
  if (error.cause instanceof TerminatedFailure) return { state: 'failed', error: jobLost(job) }
  const cause = error.cause instanceof ActivityFailure ? error.cause.cause : error.cause
  const code = cause instanceof ApplicationFailure && isFailureCode(cause.type) ? cause.type : 'internal'
  return { state: 'failed', error: new RollcallError(code, cause?.message ?? error.message) }
}

/** Why there is nothing to come back to, of a job without a summary that Temporal no longer knows: what refused it, if anything. */
export async function forgottenJob(store: Store, job: string): Promise<RollcallError> {
  const refused = await getJson<Failure>(store, planFailureKey(job))
  return refused === undefined ? jobLost(job) : new RollcallError(refused.code, refused.message)
}

/** An unfinished job that Temporal no longer knows, or that was terminated. */
function jobLost(job: string): RollcallError {
  return new RollcallError(
    'job-lost',
    `Job ${job} is unfinished, and Temporal no longer runs it (terminated, or its server's database is gone): ` +
      'its results so far are in the store; start it again under another --job',
  )
}
