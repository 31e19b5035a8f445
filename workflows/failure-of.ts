import {
  ActivityFailure,
  ApplicationFailure,
  ChildWorkflowFailure,
  isCancellation,
  TimeoutFailure,
} from '@temporalio/workflow'
import { isFailureCode } from '../protocol/failure.ts'
import type { Failure, FailureCode } from '../protocol/failure.ts'

/** What an activity's running out of time means, by its name. */
const timeoutCodes: Readonly<Record<string, FailureCode>> = {
  placeRollout: 'acquire-timeout',
  openRollout: 'acquire-timeout',
  runTurns: 'host-lost',
  gradeRollout: 'grader-timeout',
  recordRollout: 'store-unavailable',
  summarizeJob: 'store-unavailable',
  placePoolSandbox: 'acquire-timeout',
  openPoolSandbox: 'sandbox-start-timeout',
  resetSlots: 'sandbox-lost',
  checkPool: 'provider-unavailable',
  removePoolSandbox: 'provider-unavailable',
  findClosedWorkflows: 'provider-unavailable',
}

/**
 * The failure behind an error of an activity or a child. Anything else is a bug: it is thrown again, so that the
 * workflow task fails and waits for a fixed worker.
 */
export function failureOf(error: unknown): Failure {
  if (isCancellation(error)) return { code: 'cancelled', message: 'The job was cancelled.' }
  if (error instanceof ApplicationFailure && isFailureCode(error.type))
    return { code: error.type, message: error.message }
  if (error instanceof ActivityFailure) return failureOfActivity(error)
  if (error instanceof ChildWorkflowFailure) return { code: 'internal', message: messageOf(error) }
  throw error
}

function failureOfActivity(error: ActivityFailure): Failure {
  const { cause } = error
  if (cause instanceof ApplicationFailure) {
    return { code: isFailureCode(cause.type) ? cause.type : 'internal', message: cause.message }
  }
  if (cause instanceof TimeoutFailure) {
    if (cause.timeoutType === 'SCHEDULE_TO_START' && error.activityType !== 'placeRollout') {
      return {
        code: 'host-lost',
        message: `No worker that reaches the sandbox has asked for work in time (${error.activityType}).`,
      }
    }
    // The last attempt's own failure says more than the fact that time ran out.
    if (cause.cause instanceof ApplicationFailure && isFailureCode(cause.cause.type)) {
      return { code: cause.cause.type, message: cause.cause.message }
    }
    return {
      code: timeoutCodes[error.activityType] ?? 'internal',
      message: `${error.activityType} did not end in time (${cause.timeoutType}).`,
    }
  }
  return { code: 'internal', message: messageOf(error) }
}

function messageOf(error: Error): string {
  return error.cause instanceof Error ? `${error.message}: ${error.cause.message}` : error.message
}
