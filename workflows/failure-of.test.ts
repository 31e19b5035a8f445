import { ActivityFailure, ApplicationFailure, CancelledFailure, RetryState, TimeoutFailure } from '@temporalio/common'
import { expect, test } from 'vitest'
import { failureOf } from './failure-of.ts'

const activityFailure = (activity: string, cause: Error) =>
  new ActivityFailure('failed', activity, 'id', RetryState.TIMEOUT, 'worker', cause)

/** As the SDK reads it from the server: the last attempt's failure is its cause. */
function timeout(activity: string, last?: Error) {
  const late = Object.assign(new TimeoutFailure('late', undefined, 'SCHEDULE_TO_CLOSE'), { cause: last })
  return failureOf(activityFailure(activity, late)).code
}

test('what running out of time means is told by the activity', () => {
  expect(timeout('openRollout')).toBe('acquire-timeout')
  expect(timeout('runTurns')).toBe('host-lost')
  expect(timeout('gradeRollout')).toBe('grader-timeout')
  expect(timeout('recordRollout')).toBe('store-unavailable')
  expect(timeout('releaseSandbox')).toBe('internal')
})

test('the last attempt’s own failure says more than the fact that time ran out', () => {
  const busy = ApplicationFailure.create({ type: 'provider-busy', message: 'no room' })
  expect(timeout('openRollout', busy)).toBe('provider-busy')
})

test('a code of the table passes through; any other type is internal', () => {
  const failure = (type: string) =>
    failureOf(activityFailure('runTurns', ApplicationFailure.create({ type, message: 'why' })))
  expect(failure('sandbox-lost')).toEqual({ code: 'sandbox-lost', message: 'why' })
  expect(failure('TypeError')).toEqual({ code: 'internal', message: 'why' })
})

test('cancellation is told apart, and a bug stays a bug', () => {
  expect(failureOf(activityFailure('runTurns', new CancelledFailure('stop'))).code).toBe('cancelled')
  expect(() => failureOf(new TypeError('bug'))).toThrow('bug')
})
