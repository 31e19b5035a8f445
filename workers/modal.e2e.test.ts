import { existsSync } from 'node:fs'
import { writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { untilNothing } from '../cli/fixtures/rollcall-process.ts'
import { Taskset } from '../client/index.ts'
import type { RunOptions } from '../client/index.ts'
import type { JobSummary } from '../protocol/grade.ts'
import { connectToDocker, dockerConnection } from '../providers/docker/docker-connection.ts'
import { modalEnvironment, openModalProvider } from '../providers/modal/testing/modal-fixture.ts'
import { startModalServer } from '../providers/modal/testing/modal-server.ts'
import type { ModalServer } from '../providers/modal/testing/modal-server.ts'
import { ensureTestImages } from '../scripts/test-images.ts'
import { openHome, writeTasks } from '../testing/durability-home.ts'
import type { DurabilityHome, DurabilityTask, EffectsFolder } from '../testing/durability-home.ts'
import { WorkerPool } from '../testing/worker-pool.ts'

/** Whole jobs on a server that speaks Modal's protocol, and what happens when workers, connections and answers die. */

/** One for each task, which is named after it; keys are relative to the rollout. */
const killPoints: Readonly<Record<string, { on: string; when: string; key: string }>> = {
  'open-unasked': { on: 'create', when: 'before', key: '' },
  'open-answered': { on: 'create', when: 'after', key: '' },
  'batch-unstarted': { on: 'exec', when: 'before', key: '/1-1-0-0' },
  'batch-running': { on: 'exec', when: 'during', key: '/1-1-0-0' },
  'release-unasked': { on: 'destroy', when: 'before', key: '' },
  'release-done': { on: 'destroy', when: 'after', key: '' },
}
const cut = 'connection-cut'
const names = [...Object.keys(killPoints), cut]

let home: DurabilityHome
let server: ModalServer
let effects: EffectsFolder
let imageMap: Readonly<Record<string, string>>

beforeAll(async () => {
  home = await openHome()
  effects = await home.effectsFolder('all')
  const connection = dockerConnection(process.env['DOCKER_HOST'])
  imageMap = await ensureTestImages({ connection, cacheDirectory: home.environment.cacheDirectory })
  server = await startModalServer(connectToDocker(connection).streams, [`${effects.path}:/effects`])
})

afterAll(async () => {
  await server.stop()
  await home.close()
})

async function runJob(folder: string, options: RunOptions): Promise<JobSummary> {
  const environment = { ...home.environment, env: { ...home.environment.env, ...modalEnvironment(server) } }
  const taskset = await Taskset.load(folder)
  const job = await taskset.run({ provider: 'modal', imageMap, environment, concurrency: 10, ...options })
  try {
    return await job.result()
  } finally {
    await job.close()
  }
}

test('the examples are solved there', async () => {
  const examples = fileURLToPath(new URL('../examples/tasks', import.meta.url))
  expect(await runJob(examples, { job: 'examples', agent: 'oracle' })).toMatchObject({ failed: 0, mean: 1 })
})

/** Says what it does, and goes on when its worker, or its connection, has died. */
function taskOf(name: string): DurabilityTask {
  const tell = (what: string) => `echo "${what} $p $(cut -d' ' -f22 /proc/$p/stat)" >> /effects/${name}`
  const waits = name === cut || name === 'batch-running'
  const wait = `touch /effects/begun/${name}; until [ -e /effects/killed/${name} ]; do sleep 0.05; done; sleep 0.5`
  const slow = ['sleep 600 & p=$!', tell('begin'), ...(waits ? [wait] : []), tell('end'), 'kill $p']
  const tests = `[ "$(cut -d' ' -f1 /tmp/turns | tr '\\n' ' ')" = "one two " ] && echo 1 > /logs/verifier/reward.txt`
  return { name, turns: ['echo one >> /tmp/turns', [...slow, 'echo two >> /tmp/turns'].join('\n')], tests }
}

async function cutWhenBegun(): Promise<void> {
  await expect.poll(() => existsSync(join(effects.path, 'begun', cut)), { timeout: 120_000 }).toBe(true)
  await server.cutRouter()
  await writeFile(join(effects.path, 'killed', cut), '')
}

test('killed workers, cut connections and lost answers change nothing: every command once, every rollout graded', async () => {
  const points = Object.entries(killPoints).map(([name, { on, when, key }]) => ({
    on,
    when,
    key: `[/.]?killed[-./](rollouts/)?${name}[-.]script[-.]1${key}(-[0-9a-f]{16})?$`,
    marker: join(effects.path, 'killed', name),
    begun: join(effects.path, 'begun', name),
  }))
  const file = join(home.folder, 'kill-points.json')
  await writeFile(file, JSON.stringify(points))
  const { stateDirectory, cacheDirectory, storeUrl } = home.environment
  const settings = { killPoints: file, stateDirectory, cacheDirectory, storeUrl, providers: ['modal'] }
  const env = { ...home.environment.env, ...modalEnvironment(server) }
  const log = join(home.folder, 'workers.log')
  const pool = new WorkerPool({ entry: 'testing/killing-worker.ts', args: [JSON.stringify(settings)], env, log })
  const before = server.plane.sandboxes.length
  server.faults.add({ method: 'SandboxCreateV2', times: 5, losesAnswer: true })
  server.faults.add({ method: 'TaskExecStart', times: 3, losesAnswer: true })
  server.faults.add({ method: 'SandboxTerminateV2', times: 2, losesAnswer: true })
  await Promise.all([pool.start(), pool.start()])
  const cutting = cutWhenBegun()
  const tasks = await writeTasks(join(home.folder, 'tasks'), names.map(taskOf))
  const summary = await runJob(tasks, { job: 'killed', agent: 'script', worker: 'shared' })
  await Promise.all([cutting, pool.close()])
  expect(summary).toMatchObject({ graded: names.length, failed: 0, mean: 1 })
  for (const name of names) {
    expect([name, existsSync(join(effects.path, 'killed', name))]).toEqual([name, true])
    const [begin = '', end, ...more] = await effects.lines(name)
    expect([name, end, ...more]).toEqual([name, begin.replace('begin', 'end')])
  }
  const made = server.plane.sandboxes.slice(before).map(({ definition }) => definition.name)
  expect([made.length, new Set(made).size]).toEqual([names.length, names.length])
})

test('nothing is left there', async () => {
  const provider = await openModalProvider(server)
  await untilNothing(() => provider.list({}), 30_000)
  await provider.close()
})
