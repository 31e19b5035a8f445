import { ApplicationFailure } from '@temporalio/activity'
import { expect, test } from 'vitest'
import { failureKinds, RollcallError } from '../protocol/failure.ts'
import type { FailureCode } from '../protocol/failure.ts'
import { asApplicationFailure } from './run-activity.ts'

test('whether a failure is tried again comes from the one table', () => {
  for (const [code, { retry }] of Object.entries(failureKinds) as [FailureCode, { retry: boolean }][]) {
    expect(asApplicationFailure(new RollcallError(code, 'm'), 1)).toMatchObject({ type: code, nonRetryable: !retry })
  }
})

test('what the other side said about waiting is obeyed', () => {
  const busy = new RollcallError('provider-busy', 'slow down', { retryAfterMs: 7_000 })
  expect(asApplicationFailure(busy, 1).nextRetryDelay).toBe(7_000)
})

test('a bug is tried again, but not for ever', () => {
  expect(asApplicationFailure(new TypeError('x'), 1)).toMatchObject({ type: 'internal', nonRetryable: false })
  expect(asApplicationFailure(new TypeError('x'), 5)).toMatchObject({ type: 'internal', nonRetryable: true })
})

test('a failure that is one already passes through', () => {
  const failure = ApplicationFailure.create({ type: 'sandbox-lost', message: 'm' })
  expect(asApplicationFailure(failure, 1)).toBe(failure)
})

test('a message of megabytes does not enter the history', () => {
  expect(asApplicationFailure(new Error('x'.repeat(1e6)), 1).message.length).toBeLessThanOrEqual(2_000)
})
