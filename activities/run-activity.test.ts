import { ApplicationFailure, CancelledFailure } from '@temporalio/activity'
import { MockActivityEnvironment } from '@temporalio/testing'
import { describe, expect, test } from 'vitest'
import { failureKinds, RollcallError } from '../protocol/failure.ts'
import type { FailureCode } from '../protocol/failure.ts'
import { asApplicationFailure, runActivity, runWholeActivity } from './run-activity.ts'

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

describe('at the boundary to Temporal', () => {
  const never = new AbortController().signal

  test('a result of more than 256 KiB is refused with a code of ours', async () => {
    const large = () => runActivity(never, async () => ({ text: 'x'.repeat(300 * 1024) }))
    await expect(new MockActivityEnvironment().run(large)).rejects.toMatchObject({
      type: 'payload-too-large',
      nonRetryable: true,
      message: expect.stringContaining('262144'),
    })
  })

  test('a worker that shuts down answers handedOver, which is no failure', async () => {
    const handover = new AbortController()
    const work = () =>
      runActivity(handover.signal, async ({ signal }) => {
        handover.abort()
        signal.throwIfAborted()
        return { done: true }
      })
    expect(await new MockActivityEnvironment().run(work)).toEqual({ handedOver: true })
  })

  test('an activity that is cancelled ends as cancelled, whatever its work threw', async () => {
    const environment = new MockActivityEnvironment()
    const work = () =>
      runActivity(never, async ({ signal }) => {
        const letGo = new Promise((_, reject) => signal.addEventListener('abort', () => reject(new Error('let go'))))
        environment.cancel('CANCELLED')
        await letGo
        return {}
      })
    await expect(environment.run(work)).rejects.toBeInstanceOf(CancelledFailure)
  })

  test('work that never lets go holds nobody', async () => {
    const environment = new MockActivityEnvironment()
    const stuck = new Promise<never>(() => {})
    const cancelled = environment.run(() => runActivity(never, () => stuck))
    environment.cancel('CANCELLED')
    await expect(cancelled).rejects.toBeInstanceOf(CancelledFailure)
    const shutDown = new MockActivityEnvironment().run(() => runActivity(AbortSignal.abort(), () => stuck))
    expect(await shutDown).toEqual({ handedOver: true })
  })

  test('what work comes to after it was told to let go still counts', async () => {
    const work = () => runActivity(AbortSignal.abort(), async () => 'stored')
    expect(await new MockActivityEnvironment().run(work)).toBe('stored')
  })

  test('what cannot be handed over is not, and its result comes as it is', async () => {
    expect(await new MockActivityEnvironment().run(() => runWholeActivity(async () => 'result'))).toBe('result')
  })
})
