import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { mkdir, mkdtemp, readFile, readdir, rm, stat, utimes, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { buffer } from 'node:stream/consumers'
import { pack } from 'tar-stream'
import { expect, onTestFinished, test } from 'vitest'
import { createFileStore } from '../store/file-store.ts'
import * as keys from '../store/keys.ts'
import { exportJob } from './export-job.ts'
import { rolloutResult } from './fixtures/rollout-result.ts'
import { harborId } from './harbor-result.ts'
import { withoutFiles } from './fixtures/without-files.ts'
import { summarizeResults } from './summary.ts'
import type { RolloutResult } from '../protocol/grade.ts'
import { jobOptions } from '../protocol/job-options-fixture.ts'
import type { Store } from '../store/store.ts'
import { filesBelow } from '../testing/files-below.ts'

const options = jobOptions({
  tasks: ['a', 'b'].map((name) => ({ name, checksum: 'c0ffee' })),
  agents: [{ kind: 'oracle', label: 'oracle', args: {}, model: 'openai/gpt-9' }],
  concurrency: 4,
  sandboxLoss: { policy: 'restart', maxIncarnations: 2, hostLostMs: 120_000 },
  gradingAttempts: 2,
})

const checksum = 'c0ffee'.padEnd(64, '0')
const graded = { ...rolloutResult({ task: 'a', rewards: { reward: 1 } }), taskChecksum: checksum }
const lost = { code: 'sandbox-lost', message: 'The sandbox died.' } as const
const failed = { ...rolloutResult({ task: 'b', failure: lost }), taskChecksum: checksum }

interface Place {
  store: Store
  jobsDir: string
}

async function newPlace(): Promise<Place> {
  const directory = await mkdtemp(join(tmpdir(), 'rollcall-export-'))
  onTestFinished(() => rm(directory, { recursive: true }))
  return { store: createFileStore(join(directory, 'store')), jobsDir: join(directory, 'jobs') }
}

async function put(store: Store, key: string, value: unknown): Promise<void> {
  const bytes = Buffer.isBuffer(value) ? value : Buffer.from(typeof value === 'string' ? value : JSON.stringify(value))
  await store.putOnce(key, bytes)
}

async function storeJob(store: Store, results: RolloutResult[]): Promise<void> {
  await put(store, keys.jobKey('j'), options)
  const rollouts = ['a', 'b'].map((task) => ({ name: `${task}.oracle.1`, task, agent: 'oracle', attempt: 1 }))
  await put(store, keys.planKey('j'), { rollouts })
  for (const result of results) await storeRollout(store, result)
}

async function storeRollout(store: Store, result: RolloutResult): Promise<void> {
  const at = { job: 'j', rollout: result.name, incarnation: 1 }
  await put(store, keys.outputKey({ ...at, exec: '1-0-0-0', stream: 'stdout' }), 'hello\n')
  await put(store, keys.answerKey({ ...at, phase: 1, turn: 0 }), { calls: [] })
  await put(store, keys.turnResultKey({ ...at, phase: 1, turn: 0 }), { results: [{ exitCode: 0 }], execs: [] })
  await put(store, keys.gradeFileKey({ ...at, phase: 2, name: 'test-stdout.txt' }), 'first attempt')
  await put(store, keys.gradeFileKey({ ...at, phase: 10, name: 'test-stdout.txt' }), 'second attempt')
  await put(store, keys.gradeFileKey({ ...at, phase: 10, name: 'reward.txt' }), '1')
  await put(store, keys.traceKey('j', result.name), '{"type":"turn"}\n')
  await put(store, keys.resultKey('j', result.name), result)
}

async function finishJob(store: Store, results: RolloutResult[]): Promise<void> {
  await put(store, keys.lockKey('j'), { version: 1 })
  await put(store, keys.summaryKey('j'), summarizeResults({ job: 'j', results }))
}

async function readJson(path: string): Promise<unknown> {
  return JSON.parse(await readFile(path, 'utf8'))
}

const rolloutFiles = [
  'agent/exit-code.txt',
  'agent/i1-p1-000000.answer.json',
  'agent/i1-p1-000000.result.json',
  'agent/oracle.txt',
  'agent/trajectory.json',
  'config.json',
  'execs/i1-1-0-0-0.stdout',
  'lock.json',
  'result.json',
  'trace.jsonl',
  'trial.log',
  'verifier/earlier/i1-p2/test-stdout.txt',
  'verifier/reward.txt',
  'verifier/test-stdout.txt',
]

test('a finished job is exported in Harbor’s layout, and only that', async () => {
  const { store, jobsDir } = await newPlace()
  await storeJob(store, [graded, failed])
  await finishJob(store, [graded, failed])
  const folder = await exportJob({ store, job: 'j', jobsDir })
  expect(folder).toBe(join(jobsDir, 'j'))
  expect(await filesBelow(folder)).toEqual(
    [
      'b.oracle.1/exception.txt',
      'config.json',
      'job.log',
      'lock.json',
      'result.json',
      'summary.json',
      ...['a', 'b'].flatMap((task) => rolloutFiles.map((file) => `${task}.oracle.1/${file}`)),
    ].toSorted(),
  )
  expect(await readFile(join(folder, 'a.oracle.1/verifier/test-stdout.txt'), 'utf8')).toBe('second attempt')
  expect(await readJson(join(folder, 'summary.json'))).toEqual(
    summarizeResults({ job: 'j', results: [graded, failed] }),
  )
})

test('results carry Harbor’s field names: rewards for a graded rollout, exception_info for a failed one', async () => {
  const { store, jobsDir } = await newPlace()
  await storeJob(store, [graded, failed])
  await finishJob(store, [graded, failed])
  const folder = await exportJob({ store, job: 'j', jobsDir })
  expect(await readJson(join(folder, 'a.oracle.1/result.json'))).toMatchObject({
    task_name: 'a',
    trial_name: 'a.oracle.1',
    task_checksum: checksum,
    source: 'tasks',
    agent_info: { name: 'oracle', model_info: { name: 'gpt-9', provider: 'openai' } },
    agent_result: { n_input_tokens: 10, n_output_tokens: null },
    verifier_result: { rewards: { reward: 1 } },
    exception_info: null,
    environment_setup: { started_at: graded.startedAt, finished_at: '2026-01-02T03:04:06.000Z' },
    agent_execution: null,
    rollcall: graded,
  })
  expect(await readJson(join(folder, 'b.oracle.1/result.json'))).toMatchObject({
    verifier_result: null,
    exception_info: { exception_type: 'sandbox-lost', exception_message: 'The sandbox died.' },
  })
  expect(await readJson(join(folder, 'result.json'))).toMatchObject({
    n_total_trials: 2,
    stats: {
      n_completed_trials: 2,
      n_errored_trials: 1,
      evals: {
        'oracle__gpt-9__tasks': {
          n_trials: 1,
          n_errors: 1,
          metrics: [{ mean: 1 }],
          reward_stats: { reward: { '1.0': ['a.oracle.1'] } },
          exception_stats: { 'sandbox-lost': ['b.oracle.1'] },
        },
      },
    },
  })
})

test('ids are the UUIDs that Harbor insists on, the same for the same rollout', async () => {
  const { store, jobsDir } = await newPlace()
  await storeJob(store, [graded, failed])
  const folder = await exportJob({ store, job: 'j', jobsDir })
  const ids = await Promise.all(
    ['result.json', 'a.oracle.1/result.json', 'b.oracle.1/result.json'].map((path) => readJson(join(folder, path))),
  )
  const uuids = ids.map((result) => (result as { id: string }).id)
  for (const uuid of uuids)
    expect(uuid).toMatch(/^[0-9a-f]{8}-[0-9a-f]{4}-8[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}$/)
  expect(new Set(uuids).size).toBe(3)
  expect(uuids[1]).toBe(harborId(graded.id))
})

test('logs, lock files and what failed lie where Harbor’s scripts look', async () => {
  const { store, jobsDir } = await newPlace()
  await storeJob(store, [graded, failed])
  await finishJob(store, [graded, failed])
  const folder = await exportJob({ store, job: 'j', jobsDir })
  expect(await readJson(join(folder, 'lock.json'))).toMatchObject({
    version: 1,
    schema_version: 3,
    n_concurrent_trials: 4,
    trials: [{ task: { name: 'a', digest: `sha256:${checksum}` } }, { task: { name: 'b' } }],
  })
  expect(await readFile(join(folder, 'job.log'), 'utf8')).toContain(
    'b.oracle.1 failed, sandbox-lost: The sandbox died.',
  )
  expect(await readFile(join(folder, 'b.oracle.1/exception.txt'), 'utf8')).toMatch(
    /^sandbox-lost: The sandbox died\.\n/,
  )
  expect(await readFile(join(folder, 'a.oracle.1/agent/oracle.txt'), 'utf8')).toBe('hello\n')
  expect(await readFile(join(folder, 'a.oracle.1/agent/exit-code.txt'), 'utf8')).toBe('0\n')
})

test('an export that is killed anywhere leaves whole files only, and the next one completes it', async () => {
  const { store, jobsDir } = await newPlace()
  await storeJob(store, [graded, failed])
  for (const { name } of [graded, failed]) {
    const at = { job: 'j', rollout: name, incarnation: 1, exec: '1-0-1-0', stream: 'stderr' } as const
    await put(store, keys.outputKey(at), Buffer.alloc(4_000_000, 'x'))
  }
  await finishJob(store, [graded, failed])
  const whole = await exportJob({ store, job: 'j', jobsDir: `${jobsDir}-whole` })
  const wanted = new Map(
    await Promise.all(
      (await filesBelow(whole)).map(async (path) => [path, await readFile(join(whole, path))] as const),
    ),
  )
  for (const count of [1, 6, 12, 20]) {
    const target = `${jobsDir}-${count}`
    await exportUntilKilled(join(jobsDir, '..', 'store'), target, count)
    await expectWholeFiles(join(target, 'j'), wanted)
    await exportJob({ store, job: 'j', jobsDir: target })
    const visible = (await filesBelow(join(target, 'j'))).filter((path) => !path.includes('.tmp'))
    expect(visible).toEqual([...wanted.keys()])
  }
})

/** Kills the exporting process as soon as so many files are there. */
async function exportUntilKilled(storeDirectory: string, jobsDir: string, count: number): Promise<void> {
  const script = fileURLToPath(new URL('fixtures/export-process.ts', import.meta.url))
  const child = spawn(process.execPath, [script, storeDirectory, jobsDir], { stdio: 'inherit' })
  const ended = once(child, 'exit')
  const files = () => filesBelow(join(jobsDir, 'j')).catch(() => [])
  await expect.poll(async () => (await files()).length, { timeout: 20_000, interval: 1 }).toBeGreaterThanOrEqual(count)
  child.kill('SIGKILL')
  await ended
}

/** Every file that is not hidden is the same as in a whole export; its own place aside, which stands in it. */
async function expectWholeFiles(folder: string, wanted: ReadonlyMap<string, Buffer>): Promise<void> {
  for (const path of (await filesBelow(folder)).filter((name) => !name.includes('.tmp'))) {
    const bytes = await readFile(join(folder, path))
    if (path.endsWith('result.json')) JSON.parse(bytes.toString())
    else expect([path, bytes.equals(wanted.get(path) ?? Buffer.alloc(0))]).toEqual([path, true])
  }
}

test('where the grader’s reward file was not kept, one with the same rewards is written', async () => {
  const { store, jobsDir } = await newPlace()
  const several = rolloutResult({ task: 'b', rewards: { reward: 1, style: 0.5 } })
  await storeJob(store, [])
  await put(store, keys.resultKey('j', graded.name), graded)
  await put(store, keys.resultKey('j', several.name), several)
  const folder = await exportJob({ store, job: 'j', jobsDir })
  expect(await readFile(join(folder, 'a.oracle.1/verifier/reward.txt'), 'utf8')).toBe('1\n')
  expect(await readJson(join(folder, 'b.oracle.1/verifier/reward.json'))).toEqual({ reward: 1, style: 0.5 })
})

test('rollouts are exported as they finish; unfinished ones are passed over', async () => {
  const { store, jobsDir } = await newPlace()
  await storeJob(store, [graded])
  const folder = await exportJob({ store, job: 'j', jobsDir, rollouts: ['a.oracle.1', 'b.oracle.1'] })
  expect(await filesBelow(folder)).toEqual(
    ['config.json', ...rolloutFiles.map((file) => `a.oracle.1/${file}`)].toSorted(),
  )
  await exportJob({ store, job: 'j', jobsDir })
  expect(await readJson(join(folder, 'result.json'))).toMatchObject({
    finished_at: null,
    stats: { n_pending_trials: 1 },
  })
})

test('exporting twice, also at the same time, changes nothing and leaves nothing behind', async () => {
  const { store, jobsDir } = await newPlace()
  await storeJob(store, [graded, failed])
  await finishJob(store, [graded, failed])
  const folder = await exportJob({ store, job: 'j', jobsDir })
  const before = await filesBelow(folder)
  await Promise.all([exportJob({ store, job: 'j', jobsDir }), exportJob({ store, job: 'j', jobsDir })])
  expect(await filesBelow(folder)).toEqual(before)
})

test('what a killed export had not finished is removed by a later one, when nobody can be writing it any more', async () => {
  const { store, jobsDir } = await newPlace()
  await storeJob(store, [graded])
  const folder = join(jobsDir, 'j', graded.name, 'verifier')
  await mkdir(folder, { recursive: true })
  await writeFile(join(folder, '.old.tmp'), 'half')
  await writeFile(join(folder, '.young.tmp'), 'half')
  await utimes(join(folder, '.old.tmp'), 0, 0)
  await exportJob({ store, job: 'j', jobsDir })
  expect((await readdir(folder)).filter((name) => name.endsWith('.tmp'))).toEqual(['.young.tmp'])
})

test('an export that broke off is repaired, files of others replaced', async () => {
  const { store, jobsDir } = await newPlace()
  await storeJob(store, [graded])
  const folder = await exportJob({ store, job: 'j', jobsDir })
  const rollout = join(folder, 'a.oracle.1')
  await rm(join(rollout, 'result.json'))
  await rm(join(rollout, 'trace.jsonl'))
  await writeFile(join(rollout, 'trace.jsonl'), 'half a li')
  await exportJob({ store, job: 'j', jobsDir })
  expect(await filesBelow(rollout)).toEqual(rolloutFiles)
  expect(await readFile(join(rollout, 'trace.jsonl'), 'utf8')).toBe('{"type":"turn"}\n')
})

test('objects are hard links where the store is local, and copies where it is not', async () => {
  const { store, jobsDir } = await newPlace()
  await storeJob(store, [graded])
  const linked = await exportJob({ store, job: 'j', jobsDir })
  expect((await stat(join(linked, 'a.oracle.1/trace.jsonl'))).nlink).toBe(2)
  const copied = await exportJob({ store: withoutFiles(store), job: 'j', jobsDir: `${jobsDir}-2` })
  expect((await stat(join(copied, 'a.oracle.1/trace.jsonl'))).nlink).toBe(1)
  expect(await filesBelow(copied)).toEqual(await filesBelow(linked))
})

test('a folder that holds another job of that id is refused and left alone', async () => {
  const { store, jobsDir } = await newPlace()
  await storeJob(store, [graded])
  const folder = await exportJob({ store, job: 'j', jobsDir })
  const other = await newPlace()
  await put(other.store, keys.jobKey('j'), { ...options, attempts: 7 })
  await expect(exportJob({ store: other.store, job: 'j', jobsDir })).rejects.toMatchObject({
    code: 'configuration-invalid',
    message: expect.stringContaining(folder),
  })
  expect(await readJson(join(folder, 'config.json'))).toMatchObject({ n_attempts: 1 })
})

test('a place that cannot be written is the fault of who named it, and is named', async () => {
  const { store, jobsDir } = await newPlace()
  await storeJob(store, [graded])
  await writeFile(jobsDir, 'a file in the way')
  await expect(exportJob({ store, job: 'j', jobsDir })).rejects.toMatchObject({
    code: 'configuration-invalid',
    message: expect.stringMatching(/^Writing .*jobs\/j\b.* failed: ENOTDIR.*expected a place with room/),
  })
})

test('an unknown job is one sentence', async () => {
  const { store, jobsDir } = await newPlace()
  await expect(exportJob({ store, job: 'nope', jobsDir })).rejects.toMatchObject({
    code: 'configuration-invalid',
    message: expect.stringContaining('"nope" is not in the store'),
  })
})

test('artifacts are unpacked; what would climb out of their folder or is no plain file is left out', async () => {
  const { store, jobsDir } = await newPlace()
  const tar = pack()
  tar.entry({ name: 'logs/artifacts/report.txt' }, 'fine')
  tar.entry({ name: '../../climbed.txt' }, 'bad')
  tar.entry({ name: '/absolute.txt' }, 'stays inside')
  tar.entry({ name: 'link', type: 'symlink', linkname: '/etc' })
  tar.entry({ name: 'link/passwd' }, 'below a link that is not made')
  tar.entry({ name: 'report.txt/', type: 'directory' })
  tar.entry({ name: 'report.txt' }, 'a folder’s name')
  tar.finalize()
  await storeJob(store, [await withArtifacts(store, await buffer(tar))])
  const folder = await exportJob({ store, job: 'j', jobsDir })
  expect(await filesBelow(join(folder, 'a.oracle.1/artifacts'))).toEqual([
    'manifest.json',
    'out/absolute.txt',
    'out/link/passwd',
    'out/logs/artifacts/report.txt',
    'out/report.txt',
  ])
  const everywhere = await filesBelow(join(jobsDir, '..'))
  expect(everywhere.filter((file) => file.endsWith('climbed.txt'))).toEqual([])
})

/** The graded rollout with one folder collected. */
async function withArtifacts(store: Store, tar: Buffer): Promise<RolloutResult> {
  const key = keys.collectedTarKey({ job: 'j', rollout: graded.name, incarnation: 1, phase: 3, index: 0 })
  await put(store, key, tar)
  return { ...graded, artifacts: [{ source: '/out', destination: 'out', type: 'directory', status: 'ok', key }] }
}

async function artifactsTar(): Promise<Buffer> {
  const tar = pack()
  tar.entry({ name: './whole.txt' }, 'whole')
  tar.entry({ name: './cut.bin' }, Buffer.alloc(100_000, 1))
  tar.finalize()
  return await buffer(tar)
}

test.each([
  ['is cut', async () => (await artifactsTar()).subarray(0, 50_000), ['out/whole.txt']],
  ['is cut within a header', async () => (await artifactsTar()).subarray(0, 1_100), ['out/whole.txt']],
  [
    'turns into nonsense',
    async () => Buffer.concat([(await artifactsTar()).subarray(0, 1024), Buffer.alloc(4096, 7)]),
    ['out/whole.txt'],
  ],
  ['is none', async () => Buffer.alloc(5_000, 7), []],
])('of a tar of artifacts that %s, what comes before the damage is exported', async (_, tar, expected) => {
  const { store, jobsDir } = await newPlace()
  await storeJob(store, [await withArtifacts(store, await tar())])
  const found = await filesBelow(join(await exportJob({ store, job: 'j', jobsDir }), graded.name, 'artifacts'))
  expect(found.filter((path) => path !== 'manifest.json')).toEqual(expected)
})
