import { spawnSync } from 'node:child_process'
import { existsSync } from 'node:fs'
import { mkdir, readFile, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { afterAll, afterEach, beforeAll, expect, onTestFinished, test } from 'vitest'
import { answerWith, chatAnswer, startModelServer } from '../agents/model-server-fixture.ts'
import { processesNaming, untilNothing } from '../cli/fixtures/rollcall-process.ts'
import { Job, Taskset } from '../client/index.ts'
import type { RunOptions } from '../client/index.ts'
import { connectTemporal } from '../client/connect.ts'
import type { TemporalConnection } from '../client/connect.ts'
import { createLocalProvider } from '../providers/local/local-provider.ts'
import { readResults } from '../results/read-job.ts'
import { openHome, writeTasks } from '../testing/durability-home.ts'
import type { DurabilityHome, EffectsFolder } from '../testing/durability-home.ts'
import type { KillPoint } from '../testing/kill-points.ts'
import { WorkerPool } from '../testing/worker-pool.ts'

/** What happens to a rollout whose worker, server or job is stopped, suspended, killed, cancelled or terminated. */

let home: DurabilityHome
let effects: EffectsFolder
let temporal: TemporalConnection
/** Of the test that runs; nobody replaces those that are killed here. */
const pools: WorkerPool[] = []
let workersStarted = 0

const shared = { worker: 'shared', agent: 'script', provider: 'local' } as const

/** A command that tells its process and goes on when the test says so. */
function waiting(task: string, what: string): string {
  const tell = (moment: string) =>
    `echo "${what} ${moment} $p $(cut -d' ' -f22 /proc/$p/stat) $(cat /tmp/identity)" >> /effects/${task}`
  const identity = '[ -e /tmp/identity ] || cat /proc/sys/kernel/random/uuid > /tmp/identity'
  const wait = `until [ -e /effects/go-${task}-${what} ]; do sleep 0.05; done`
  return [identity, 'sleep 600 & p=$!', tell('begins'), wait, tell('ends'), 'kill $p'].join('\n')
}

const go = (task: string, what: string) => writeFile(join(effects.path, `go-${task}-${what}`), '')
const giveReward = 'echo 1 > /logs/verifier/reward.txt'
const slowTask = (name: string) => ({ name, turns: [waiting(name, 'a'), waiting(name, 'b')], tests: giveReward })

beforeAll(async () => {
  home = await openHome()
  effects = await home.effectsFolder('all')
  temporal = await connectTemporal({ ...home.environment, onProgress: () => {} })
})

afterEach(async () => {
  await Promise.all(pools.splice(0).map((pool) => pool.close('SIGKILL')))
})

afterAll(async () => {
  await temporal.close()
  await home.close()
})

async function startJob(name: string, tasks: Parameters<typeof writeTasks>[1], options: RunOptions): Promise<Job> {
  const taskset = await Taskset.load(await writeTasks(join(home.folder, 'tasks', name), tasks))
  const { environment } = home
  return await taskset.run({
    job: name,
    environment,
    runtime: { mounts: [effects.mount] },
    concurrency: 10,
    ...options,
  })
}

interface WorkerOptions {
  readonly entry?: string
  readonly killPoints?: readonly KillPoint[]
  readonly env?: Readonly<Record<string, string>>
}

/** @returns its pid, when it serves */
async function startWorker(more: WorkerOptions = {}): Promise<number> {
  const { stateDirectory, cacheDirectory, storeUrl } = home.environment
  const { entry = 'cli/main.ts', killPoints = [] } = more
  const env = { ...home.environment.env, ...more.env }
  const points = join(home.folder, 'kill-points.json')
  await writeFile(points, JSON.stringify(killPoints))
  const killing = [JSON.stringify({ killPoints: points, stateDirectory, cacheDirectory, storeUrl })]
  const args = entry === 'cli/main.ts' ? ['worker', '--provider', 'local'] : killing
  const log = join(home.folder, `worker-${(workersStarted += 1)}.log`)
  const pool = new WorkerPool({ entry, args, env, log, replace: false })
  pools.push(pool)
  const pid = await pool.start()
  await expect.poll(() => readFile(log, 'utf8'), { timeout: 60_000 }).toMatch(/serving rollcall\.local$/m)
  return pid
}

async function untilTold(task: string, count: number): Promise<void> {
  await expect.poll(() => effects.lines(task), { timeout: 60_000 }).toHaveLength(count)
}

/** temporal.api.enums.v1.PendingActivityState */
const started = 2

/** The turns' activity as the server knows it. */
async function pendingTurns(rollout: string) {
  const { raw } = await temporal.client.workflow.getHandle(rollout).describe()
  const pending = raw.pendingActivities?.find(({ activityType }) => activityType?.name === 'runTurns')
  const pid = Number(/^\d+/.exec(pending?.lastWorkerIdentity ?? '')?.[0])
  return { pid, attempt: pending?.attempt, isStarted: Number(pending?.state) === started }
}

/** A suspended worker's open polls still take tasks, each for a heartbeat's timeout: that may cost several attempts. */
async function untilServedBy(rollout: string, wanted: { pid: number; attempt?: number }): Promise<void> {
  await expect.poll(() => pendingTurns(rollout), { timeout: 100_000 }).toMatchObject({ ...wanted, isStarted: true })
}

/** Two commands, each told once at its begin and once at its end, by one process, both in one sandbox. */
async function expectOnce(task: string): Promise<void> {
  const lines = (await effects.lines(task)).map((line) => line.split(' '))
  expect(lines.map((line) => line.slice(0, 2).join(' '))).toEqual(['a begins', 'a ends', 'b begins', 'b ends'])
  const [aBegins = [], aEnds, bBegins = [], bEnds] = lines.map((line) => line.slice(2))
  expect([aEnds, bEnds]).toEqual([aBegins, bBegins])
  expect(aBegins[2]).toBe(bBegins[2])
}

async function sandboxesOf(job: string) {
  const local = createLocalProvider({ stateDirectory: home.environment.stateDirectory })
  return await local.list({ job })
}

test('SIGTERM hands a running command over at once: it runs on, and no attempt is burnt', async () => {
  const first = await startWorker()
  const job = await startJob('termed', [slowTask('termed')], shared)
  await untilTold('termed', 1)
  await untilServedBy('termed.termed.script.1', { pid: first, attempt: 1 })
  const second = await startWorker()
  process.kill(first, 'SIGTERM')
  await untilServedBy('termed.termed.script.1', { pid: second, attempt: 1 })
  await untilNothing(async () => pools[0]?.pids ?? [], 10_000)
  await go('termed', 'a')
  await go('termed', 'b')
  expect(await job.result()).toMatchObject({ graded: 1, mean: 1 })
  await expectOnce('termed')
  await job.close()
})

test('a time in which nobody serves the job is not the agent’s: it has all of its own left', async () => {
  const agentTimeoutMs = 10_000
  const first = await startWorker()
  const job = await startJob('absent', [slowTask('absent')], { ...shared, agentTimeoutMs })
  await untilTold('absent', 1)
  process.kill(first, 'SIGKILL')
  const absentSince = Date.now()
  await expect.poll(() => Date.now() - absentSince, { timeout: 60_000 }).toBeGreaterThan(agentTimeoutMs)
  await go('absent', 'a')
  await go('absent', 'b')
  await startWorker()
  expect(await job.result()).toMatchObject({ graded: 1, mean: 1 })
  const [rollout] = await readResults(job.store, 'absent', ['absent.script.1'])
  expect(rollout).toMatchObject({ agentEnd: 'done', turns: 2 })
  await expectOnce('absent')
  await job.close()
})

test('SIGTERM while the model is asked: it is asked again by the next worker, which counts it', async () => {
  const model = await startModelServer([() => {}, answerWith(chatAnswer({ text: 'done' }))])
  onTestFinished(() => model.close())
  const env = { OPENAI_BASE_URL: `${model.url}/v1`, OPENAI_API_KEY: 'none' }
  const first = await startWorker({ env })
  const agent = { agent: 'model', model: 'openai/a-model' }
  const job = await startJob('asked', [{ name: 'asked', turns: [], tests: giveReward }], { ...shared, agent })
  await expect.poll(() => model.requests, { timeout: 60_000 }).toHaveLength(1)
  await startWorker({ env })
  process.kill(first, 'SIGTERM')
  expect(await job.result()).toMatchObject({ graded: 1 })
  expect(model.requests).toHaveLength(2)
  const [rollout] = await readResults(job.store, 'asked', ['asked.model-openai-a-model.1'])
  expect(rollout).toMatchObject({ usage: { unrecordedCalls: 1 } })
  await job.close()
})

test('a worker that was suspended for longer than every timeout wakes up beside its successor and spoils nothing', async () => {
  const first = await startWorker()
  const job = await startJob('stopped', [slowTask('stopped')], shared)
  const rollout = 'stopped.stopped.script.1'
  await untilTold('stopped', 1)
  await untilServedBy(rollout, { pid: first })
  const second = await startWorker()
  process.kill(first, 'SIGSTOP')
  await untilServedBy(rollout, { pid: second })
  await go('stopped', 'a')
  await untilTold('stopped', 3)
  // It wakes up in the middle of a turn that is recorded, with the next turn's command running.
  process.kill(first, 'SIGCONT')
  // Now the other way round: the one that was late must serve on like any other.
  process.kill(second, 'SIGSTOP')
  await untilServedBy(rollout, { pid: first })
  await go('stopped', 'b')
  expect(await job.result()).toMatchObject({ graded: 1, mean: 1 })
  process.kill(second, 'SIGCONT')
  await expectOnce('stopped')
  const trace = (await job.store.get('jobs/stopped/rollouts/stopped.script.1/trace.jsonl'))?.toString() ?? ''
  const types = trace
    .trimEnd()
    .split('\n')
    .map((line) => JSON.parse(line).type)
  expect(types).toEqual(['turn', 'exec', 'call', 'turn', 'exec', 'call', 'turn', 'exec', 'grade'])
  await job.close()
})

test('a server that is killed while a command runs is started again, and the command is still the same', async () => {
  await startWorker()
  const job = await startJob('bereft', [slowTask('bereft')], shared)
  await untilTold('bereft', 1)
  const serverPid = async () =>
    JSON.parse(await readFile(join(home.environment.stateDirectory, 'server/current.json'), 'utf8')).pid
  const killed = await serverPid()
  process.kill(killed, 'SIGKILL')
  await go('bereft', 'a')
  await untilTold('bereft', 3)
  await expect.poll(serverPid, { timeout: 20_000 }).not.toBe(killed)
  await go('bereft', 'b')
  expect(await job.result()).toMatchObject({ graded: 1, mean: 1 })
  await expectOnce('bereft')
  await job.close()
})

test('a job that is cancelled while its worker is dead, at every phase, says so when all of it is gone', async () => {
  const hanging: Record<string, Pick<KillPoint, 'on' | 'when'> & { key: string }> = {
    'in-open-unasked': { on: 'create', when: 'hang-before', key: '' },
    'in-open-made': { on: 'create', when: 'hang-after', key: '' },
    'in-record': { on: 'putOnce', when: 'hang-before', key: '/result.json' },
    'in-release': { on: 'destroy', when: 'hang-before', key: '' },
  }
  const marker = (name: string) => join(effects.path, 'killed', name)
  const killPoints = Object.entries(hanging).map(([name, { on, when, key }]) => {
    return { on, when, key: `cancelled[./](rollouts/)?${name}\\.script\\.1${key}$`, marker: marker(name) }
  })
  const worker = await startWorker({ entry: 'testing/killing-worker.ts', killPoints })
  const quick = Object.keys(hanging).map((name) => ({ name, turns: ['true'], tests: giveReward }))
  const inGrade = { name: 'in-grade', turns: ['true'], tests: waiting('in-grade', 'a') }
  const job = await startJob('cancelled', [slowTask('in-turns'), inGrade, ...quick], shared)
  await untilTold('in-turns', 1)
  await untilTold('in-grade', 1)
  for (const name of Object.keys(hanging))
    await expect.poll(() => existsSync(marker(name)), { timeout: 30_000 }).toBe(true)
  process.kill(worker, 'SIGKILL')
  expect(await job.cancel()).toBe(true)
  const handle = temporal.client.workflow.getHandle('cancelled')
  expect((await handle.describe()).status.name).toBe('RUNNING')
  expect(await sandboxesOf('cancelled')).toHaveLength(5)
  await startWorker()
  const { rollouts } = await job.result()
  expect(await sandboxesOf('cancelled')).toEqual([])
  const states = Object.fromEntries(rollouts.map(({ task, state }) => [task, state]))
  expect(states).toEqual({
    'in-open-unasked': 'cancelled',
    'in-open-made': 'cancelled',
    'in-turns': 'cancelled',
    'in-grade': 'cancelled',
    'in-record': 'graded',
    'in-release': 'graded',
  })
  expect((await effects.lines('in-turns')).length + (await effects.lines('in-grade')).length).toBe(2)
  await job.close()
})

test('a job that is terminated, with its worker dead, is swept by the worker that comes for it', async () => {
  const own = { ...shared, worker: 'own' } as const
  const job = await startJob('terminated', [slowTask('terminated')], own)
  await untilTold('terminated', 1)
  await job.close()
  const workers = async () =>
    (await processesNaming('"job":"terminated"')).filter(({ command }) => command.includes(home.folder))
  for (const { pid } of await workers()) process.kill(pid, 'SIGKILL')
  await temporal.client.workflow.getHandle('terminated').terminate()
  await temporal.client.workflow.getHandle('terminated.terminated.script.1').terminate()
  expect(await sandboxesOf('terminated')).toHaveLength(1)
  const attached = await Job.attach('terminated', { environment: home.environment })
  await untilNothing(() => sandboxesOf('terminated'), 30_000)
  await untilNothing(workers, 30_000)
  await attached.close()
})

test.skipIf(process.getuid?.() !== 0)('a worker whose log finds the disk full goes on', async () => {
  const logs = join(home.environment.stateDirectory, 'workers')
  await mkdir(logs, { recursive: true })
  expect(spawnSync('mount', ['-t', 'tmpfs', '-o', 'size=64k', 'tmpfs', logs]).status).toBe(0)
  onTestFinished(() => void spawnSync('umount', ['-l', logs]))
  await writeFile(join(logs, 'filler'), Buffer.alloc(1_000_000)).catch(() => {})
  const job = await startJob('unlogged', [slowTask('unlogged')], { ...shared, worker: 'own' })
  for (const what of ['a', 'b']) await go('unlogged', what)
  expect(await job.result()).toMatchObject({ graded: 1, mean: 1 })
  await expectOnce('unlogged')
  await job.close()
})

test('no sandbox and no process is left', async () => {
  await untilNothing(async () => {
    return (await processesNaming(home.folder)).filter(({ command }) => !command.includes('start-dev'))
  }, 10_000)
  const local = createLocalProvider({ stateDirectory: home.environment.stateDirectory })
  expect(await local.list({})).toEqual([])
})
