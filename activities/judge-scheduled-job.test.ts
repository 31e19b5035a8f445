import { join } from 'node:path'
import { expect, test } from 'vitest'
import { jobOptions } from '../protocol/job-options-fixture.ts'
import type { ScheduleVerdict } from '../protocol/schedule.ts'
import { rolloutResult } from '../results/fixtures/rollout-result.ts'
import { createFileStore } from '../store/file-store.ts'
import { jobKey, planKey, resultKey, verdictKey } from '../store/keys.ts'
import { getJson, putJsonOnce } from '../store/stored-json.ts'
import type { Store } from '../store/store.ts'
import { temporaryFolder } from '../testing/temporary-folder.ts'
import { judgeScheduledJob } from './judge-scheduled-job.ts'

const tasks = ['a', 'b', 'c', 'd'].map((name) => ({ name, checksum: 'c0ffee' }))
const options = jobOptions({ tasks })

/** A job of four rollouts; those without a result ended without one. */
async function putJob(store: Store, job: string, graded: readonly string[]): Promise<void> {
  const planned = tasks.map(({ name: task }) => ({ name: `${task}.nop.1`, task, agent: 'nop', attempt: 1 }))
  await putJsonOnce(store, jobKey(job), options)
  await putJsonOnce(store, planKey(job), { rollouts: planned })
  for (const task of graded) {
    const result = rolloutResult({ task, agent: 'nop', rewards: { reward: 1 } })
    await putJsonOnce(store, resultKey(job, result.name), result)
  }
}

async function judged(now: readonly string[], before: readonly string[]): Promise<ScheduleVerdict | undefined> {
  const store = createFileStore(join(await temporaryFolder('judge'), 'store'))
  const start = { schedule: 'n', config: 'schedule-configs/c.json', scheduledAt: '2026-11-21T03:00:00Z' }
  const times = { cron: '@daily', timeZone: 'UTC', catchupWindowMs: 60_000, jitterMs: 0 }
  const rest = { baseline: 'earlier', maxFailedShare: 0.25, options }
  await putJsonOnce(store, start.config, { version: 1, schedule: 'n', ...times, ...rest })
  await putJob(store, 'n-1', now)
  await putJob(store, 'earlier', before)
  await judgeScheduledJob({ job: 'n-1', storeUrl: store.url, ...start }, store)
  return await getJson<ScheduleVerdict>(store, verdictKey(start))
}

test('a rollout that ended without a result is a failure like any other, and no removed task', async () => {
  expect(await judged(['a', 'b', 'c'], ['a', 'b', 'c', 'd'])).toMatchObject({ verdict: 'same', failed: 1, tasks: [] })
  expect(await judged(['a'], ['a', 'b', 'c', 'd'])).toMatchObject({
    verdict: 'not-comparable',
    reason: '3 of 4 rollouts were not graded (3 × internal: operator must act), and at most 25 % may be missing.',
    isBaseline: false,
  })
})

test('nor is a job measured by a baseline that did not get to its end', async () => {
  expect(await judged(['a', 'b', 'c', 'd'], ['a'])).toMatchObject({
    verdict: 'not-comparable',
    reason: expect.stringContaining('The baseline earlier cannot be used: 3 of 4 rollouts'),
  })
})
