import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { expect, onTestFinished, test } from 'vitest'
import { jobOptions } from '../protocol/job-options-fixture.ts'
import { createFileStore } from '../store/file-store.ts'
import { jobKey, planKey, resultKey, summaryKey } from '../store/keys.ts'
import type { Store } from '../store/store.ts'
import { rolloutResult } from './fixtures/rollout-result.ts'
import { withoutFiles } from './fixtures/without-files.ts'
import { listLatestJobs } from './list-jobs.ts'
import { readGrades } from './read-job.ts'
import { summarizeResults } from './summary.ts'

const graded = rolloutResult({ task: 'a', rewards: { reward: 1 } })

async function emptyStore(): Promise<Store> {
  const folder = await mkdtemp(join(tmpdir(), 'rollcall-read-'))
  onTestFinished(() => rm(folder, { recursive: true }))
  return createFileStore(folder)
}

async function put(store: Store, key: string, value: unknown): Promise<void> {
  await store.putOnce(key, Buffer.from(JSON.stringify(value)))
}

test('while a job runs, its grades are those of the rollouts that have ended; others are not cancelled', async () => {
  const store = await emptyStore()
  await put(store, jobKey('j'), jobOptions())
  await put(store, planKey('j'), { rollouts: [{ name: 'a.oracle.1' }, { name: 'b.oracle.1' }] })
  await put(store, resultKey('j', 'a.oracle.1'), graded)
  const grades = await readGrades(store, 'j')
  expect(grades).toMatchObject({ finished: false, summary: { mean: 1, graded: 1, cancelled: 0 } })
})

test('when it has ended, the summary that the job stored counts', async () => {
  const store = await emptyStore()
  const summary = summarizeResults({ job: 'j', results: [graded] })
  await put(store, summaryKey('j'), summary)
  expect(await readGrades(store, 'j')).toEqual({ summary, finished: true })
})

test('a job that is not planned, or not there, is one sentence', async () => {
  const store = await emptyStore()
  await expect(readGrades(store, 'j')).rejects.toThrow('Job "j" is not in the store')
  await put(store, jobKey('j'), jobOptions())
  await expect(readGrades(store, 'j')).rejects.toThrow('Job "j" has no rollouts')
})

test('jobs are listed with their grades, with or without files on this machine', async () => {
  const store = await emptyStore()
  expect(await listLatestJobs(store, 5)).toEqual([])
  await put(store, jobKey('done'), {})
  await put(store, summaryKey('done'), summarizeResults({ job: 'done', results: [graded] }))
  const done = { job: 'done', finished: true, planned: true, mean: 1, graded: 1, failed: 0, cancelled: 0 }
  expect(await listLatestJobs(store, 5)).toEqual([done])
  await put(store, jobKey('running'), {})
  const remote = withoutFiles(store)
  expect(await listLatestJobs(remote, 5)).toEqual([{ job: 'running', finished: false, planned: false }, done])
  expect(await listLatestJobs(remote, 1)).toHaveLength(1)
})
