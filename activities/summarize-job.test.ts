import { expect, test } from 'vitest'
import { rolloutResult } from '../results/fixtures/rollout-result.ts'
import { readSummary } from '../results/read-job.ts'
import { lockKey, planKey, resultKey } from '../store/keys.ts'
import { jobOfOneTask } from './activities-fixture.ts'
import { putJsonOnce } from '../store/stored-json.ts'
import { summarizeJob } from './summarize-job.ts'

const graded = rolloutResult({ task: 'a', rewards: { reward: 1 } })
const planned = ['a', 'b'].map((task) => ({ name: `${task}.oracle.1`, task, agent: 'oracle', attempt: 1 }))

/** A job of two rollouts of which one has a result. */
async function halfEnded() {
  const tasks = ['a', 'b'].map((name) => ({ name, checksum: 'c0ffee' }))
  const { context } = await jobOfOneTask({ options: { tasks } })
  const { store } = context
  await putJsonOnce(store, planKey('j'), { rollouts: planned })
  await putJsonOnce(store, resultKey('j', graded.name), graded)
  const summarize = (cancelled: boolean) =>
    summarizeJob({ job: 'j', storeUrl: store.url, cancelled }, { context, versions: { rollcall: '1' } })
  return { store, summarize }
}

test('a rollout that ended without a result has failed, and is no wrong answer', async () => {
  const { store, summarize } = await halfEnded()
  expect(await summarize(false)).toEqual({ graded: 1, failed: 1, cancelled: 0, mean: 1 })
  const rollouts = (await readSummary(store, 'j'))?.rollouts
  expect(rollouts?.map(({ failure }) => failure?.code)).toEqual([undefined, 'internal'])
  // Without it the task would be compared as one whose files have changed.
  expect(rollouts?.map(({ taskChecksum }) => taskChecksum)).toEqual(['c0ffee', 'c0ffee'])
})

test('in a cancelled job it was cancelled', async () => {
  const { summarize } = await halfEnded()
  expect(await summarize(true)).toEqual({ graded: 1, failed: 0, cancelled: 1, mean: 1 })
})

test('summarized twice, the first summary counts', async () => {
  const { summarize } = await halfEnded()
  const first = await summarize(false)
  expect(await summarize(true)).toEqual(first)
})

test('the lock file says what ran, and from what sandboxes were really made', async () => {
  const { store, summarize } = await halfEnded()
  const [, second] = planned
  await putJsonOnce(store, resultKey('j', second?.name ?? ''), { ...graded, name: second?.name })
  await summarize(false)
  expect(JSON.parse(String(await store.get(lockKey('j'))))).toMatchObject({
    version: 1,
    rollcall: { rollcall: '1' },
    images: { a: ['the host’s own system'] },
  })
})
