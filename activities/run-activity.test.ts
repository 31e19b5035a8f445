import { setTimeout as delay } from 'node:timers/promises'
import { ApplicationFailure, CancelledFailure } from '@temporalio/activity'
import { ActivityCancellationDetails } from '@temporalio/common'
import { MockActivityEnvironment } from '@temporalio/testing'
import { describe, expect, onTestFinished, test, vi } from 'vitest'
import { failureKinds, RollcallError } from '../protocol/failure.ts'
import type { FailureCode } from '../protocol/failure.ts'
import { timing } from '../workflows/timing.ts'
import { asApplicationFailure, runActivity, runMakingActivity, runWholeActivity } from './run-activity.ts'

test('whether a failure is tried again comes from the one table', () => {
  for (const [code, { retry }] of Object.entries(failureKinds) as [FailureCode, { retry: boolean }][]) {
    expect(asApplicationFailure(new RollcallError(code, 'm'), 1)).toMatchObject({ type: code, nonRetryable: !retry })
  }
})

test('a failure for which no time is left is final, whatever the table says', () => {
  const late = new RollcallError('model-unavailable', 'm', { isFinal: true })
  expect(asApplicationFailure(late, 1)).toMatchObject({ type: 'model-unavailable', nonRetryable: true })
})

test('what the other side said about waiting is obeyed', () => {
  const busy = new RollcallError('provider-busy', 'slow down', { retryAfterMs: 7_000 })
  expect(asApplicationFailure(busy, 1).nextRetryDelay).toBe(7_000)
})

test('a provider that is busy is nothing to alarm anybody with, one that is away is', () => {
  const categoryOf = (code: FailureCode) => asApplicationFailure(new RollcallError(code, 'm'), 1).category
  expect(categoryOf('provider-busy')).toBe('BENIGN')
  expect(categoryOf('provider-unavailable')).toBeUndefined()
})

test('a bug is tried again, but not for ever', () => {
  expect(asApplicationFailure(new TypeError('x'), 1)).toMatchObject({ type: 'internal', nonRetryable: false })
  expect(asApplicationFailure(new TypeError('x'), 5)).toMatchObject({ type: 'internal', nonRetryable: true })
})

test('where somebody waits, a failure is final after some attempts, which dead workers do not end', () => {
  const away = new RollcallError('provider-unavailable', 'away')
  expect(asApplicationFailure(away, 2, 3)).toMatchObject({ nonRetryable: false })
  expect(asApplicationFailure(away, 3, 3)).toMatchObject({ nonRetryable: true })
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

  test('work that is silent for hours keeps its heartbeat', async () => {
    vi.useFakeTimers({ toFake: ['setInterval', 'clearInterval'] })
    onTestFinished(() => void vi.useRealTimers())
    const environment = new MockActivityEnvironment()
    let heartbeats = 0
    environment.on('heartbeat', () => (heartbeats += 1))
    const silent = Promise.withResolvers<string>()
    const running = environment.run(() => runActivity(never, () => silent.promise))
    await vi.advanceTimersByTimeAsync(3 * 3_600_000)
    expect(heartbeats).toBe((3 * 3_600_000) / timing.heartbeatTickMs)
    silent.resolve('at last')
    expect(await running).toBe('at last')
    expect(vi.getTimerCount()).toBe(0)
  })

  test('a worker that shuts down answers handedOver, which is no failure', async () => {
    const handover = new AbortController()
    const work = () =>
      runActivity(handover.signal, async ({ signal }) => {
        handover.abort()
        signal.throwIfAborted()
        return { done: true }
      })
    expect(await new MockActivityEnvironment().run(work)).toMatchObject({ handedOver: true })
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
    expect(await shutDown).toMatchObject({ handedOver: true })
  })

  test('what work comes to after it was told to let go still counts', async () => {
    const work = () => runActivity(AbortSignal.abort(), async () => 'stored')
    expect(await new MockActivityEnvironment().run(work)).toBe('stored')
  })

  test('what cannot be handed over is not, and its result comes as it is', async () => {
    expect(await new MockActivityEnvironment().run(() => runWholeActivity(async () => 'result'))).toBe('result')
  })
})

describe('work that makes something outside, when its job is cancelled', () => {
  const never = new AbortController().signal

  /** What it ends with that is cancelled while `work` is on its way. */
  async function endOf(
    work: (scope: { signal: AbortSignal }) => Promise<unknown>,
    { attempt = 1, cancel }: { attempt?: number; cancel?: Parameters<MockActivityEnvironment['cancel']> } = {},
  ): Promise<unknown> {
    const environment = new MockActivityEnvironment({ attempt })
    const making = environment.run(() => runMakingActivity(never, work, 300))
    environment.cancel(...(cancel ?? []))
    return await making.catch((error: unknown) => error)
  }

  test('is seen through, and what it comes to counts', async () => {
    expect(await endOf(() => delay(100, 'made'))).toBe('made')
  })

  test('has nothing on its way when it ends as cancelled', async () => {
    const letsGo = async ({ signal }: { signal: AbortSignal }) => {
      await delay(100)
      signal.throwIfAborted()
    }
    expect(await endOf(letsGo)).toBeInstanceOf(CancelledFailure)
  })

  test.each([
    ['takes too long', () => delay(5_000, undefined, { ref: false }), 1],
    ['got no answer', () => delay(50).then(() => Promise.reject(new Error('socket hang up'))), 1],
    [
      'was begun by an attempt that died',
      ({ signal }: { signal: AbortSignal }) => delay(5_000, undefined, { signal }),
      2,
    ],
  ])('says that it is not certain where it %s', async (_, work, attempt) => {
    expect(await endOf(work, { attempt })).toMatchObject({ type: 'cancelled', nonRetryable: true })
  })

  test('is let go as ever when it is only paused', async () => {
    const details = new ActivityCancellationDetails({ paused: true })
    const work = ({ signal }: { signal: AbortSignal }) => delay(5_000, undefined, { signal })
    expect(await endOf(work, { attempt: 2, cancel: ['PAUSED', details] })).toBeInstanceOf(CancelledFailure)
  })
})
