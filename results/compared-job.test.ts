import { mkdir, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { expect, test } from 'vitest'
import { jobOptions } from '../protocol/job-options-fixture.ts'
import { createFileStore } from '../store/file-store.ts'
import * as keys from '../store/keys.ts'
import { putJsonOnce } from '../store/stored-json.ts'
import { temporaryFolder } from '../testing/temporary-folder.ts'
import { readComparedJob } from './compared-job.ts'
import { exportJob } from './export-job.ts'
import { rolloutResult } from './fixtures/rollout-result.ts'
import { summarizeResults } from './summary.ts'

/** Written with Harbor 0.22's own models; one of its results is cut, as a crash of Harbor leaves it. */
const harborJobs = fileURLToPath(new URL('fixtures/harbor-jobs', import.meta.url))

const results = [
  rolloutResult({ task: 'a', rewards: { reward: 1 } }),
  rolloutResult({ task: 'a', agent: 'nop', rewards: { reward: 0 } }),
  rolloutResult({ task: 'b', failure: { code: 'sandbox-lost', message: 'gone' } }),
]

/** A finished job `j` in a store, and a folder for what is exported. */
async function storedJob() {
  const folder = await temporaryFolder('compared')
  const store = createFileStore(join(folder, 'store'))
  const agents = (['oracle', 'nop'] as const).map((kind) => ({ kind, label: kind, args: {} }))
  await putJsonOnce(store, keys.jobKey('j'), jobOptions({ agents }))
  await putJsonOnce(store, keys.planKey('j'), { rollouts: results })
  for (const result of results) await putJsonOnce(store, keys.resultKey('j', result.name), result)
  await putJsonOnce(store, keys.summaryKey('j'), summarizeResults({ job: 'j', results }))
  return { store, jobsDir: join(folder, 'jobs') }
}

const rollouts = [
  { task: 'a', agent: 'oracle', reward: 1, checksum: 'c0ffee' },
  { task: 'a', agent: 'nop', reward: 0, checksum: 'c0ffee' },
  { task: 'b', agent: 'oracle', failure: { code: 'sandbox-lost', actor: 'sandbox' }, checksum: 'c0ffee' },
]

test('a job of the store and its exported folder are the same', async () => {
  const { store, jobsDir } = await storedJob()
  const folder = await exportJob({ store, job: 'j', jobsDir })
  const stored = await readComparedJob(store, 'j')
  expect(stored).toEqual({ name: 'j', format: 'rollcall', finished: true, rollouts })
  for (const place of [folder, jobsDir]) {
    const exported = await readComparedJob(store, place)
    expect(exported).toMatchObject({ name: 'j', format: 'rollcall', finished: true })
    expect(exported.rollouts.toSorted((a, b) => b.agent.localeCompare(a.agent))).toEqual([
      rollouts[0],
      rollouts[2],
      rollouts[1],
    ])
  }
})

test('a jobs directory of Harbor: a timeout that was graded counts, an exception and a cut file do not', async () => {
  const { store } = await storedJob()
  const { rollouts: found, ...job } = await readComparedJob(store, harborJobs)
  expect(job).toEqual({ name: '2026-01-02__03-04-05', format: 'harbor', finished: false })
  const checksum = 'ab'.repeat(32)
  expect(found).toEqual([
    { task: 'hello', agent: 'oracle', reward: 1, checksum },
    { task: 'mend', agent: 'oracle', reward: 0, checksum },
    {
      task: 'slow',
      agent: 'oracle',
      failure: { code: 'EnvironmentStartTimeoutError', actor: 'unknown' },
      checksum,
    },
  ])
})

test('a reward that Harbor has written as null, for one that was not finite, is none', async () => {
  const { store } = await storedJob()
  const folder = await temporaryFolder('harbor-nan')
  const trial = {
    task_name: 'nan',
    agent_info: { name: 'x' },
    verifier_result: { rewards: { reward: null, other: 1 } },
  }
  await mkdir(join(folder, 'nan__a'))
  await writeFile(join(folder, 'nan__a/config.json'), '{"trial_name":"nan__a"}')
  await writeFile(join(folder, 'nan__a/result.json'), JSON.stringify(trial))
  expect((await readComparedJob(store, folder)).rollouts).toEqual([
    { task: 'nan', agent: 'x', failure: { code: 'no-reward', actor: 'unknown' } },
  ])
})

test('one agent of a job can be named', async () => {
  const { store } = await storedJob()
  expect(await readComparedJob(store, 'j:nop')).toMatchObject({ name: 'j:nop', rollouts: [rollouts[1]] })
  await expect(readComparedJob(store, 'j:who')).rejects.toThrow('j has no agent "who": expected one of oracle, nop')
})

test('what is neither a job nor a folder of one says what was expected', async () => {
  const { store, jobsDir } = await storedJob()
  await expect(readComparedJob(store, 'nope')).rejects.toThrow('"nope" is neither a job of the store')
  await exportJob({ store, job: 'j', jobsDir })
  await expect(readComparedJob(store, join(jobsDir, 'j', 'a.oracle.1'))).rejects.toThrow('holds no rollouts')
})
