import { existsSync } from 'node:fs'
import { mkdir, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { setTimeout as delay } from 'node:timers/promises'
import { fileURLToPath } from 'node:url'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { Taskset } from '../client/index.ts'
import type { RunOptions } from '../client/index.ts'
import type { JobSummary } from '../protocol/grade.ts'
import { LoopbackDaytona } from '../providers/daytona/testing/loopback-daytona.ts'
import { dockerConnection } from '../providers/docker/docker-connection.ts'
import { ensureTestImages } from '../scripts/test-images.ts'
import { openHome, writeTasks } from '../testing/durability-home.ts'
import type { DurabilityHome, DurabilityTask } from '../testing/durability-home.ts'
import { WorkerPool } from '../testing/worker-pool.ts'

/** Whole jobs on the loopback server, and what happens to them when workers and connections die. */

/** One for each task, which is named after it; keys are relative to the rollout. */
const killPoints: Readonly<Record<string, { on: string; when: string; key: string }>> = {
  'open-unasked': { on: 'create', when: 'before', key: '' },
  'open-running': { on: 'create', when: 'during', key: '' },
  'open-answered': { on: 'create', when: 'after', key: '' },
  'batch-unstarted': { on: 'exec', when: 'before', key: '/1-1-0-0' },
  'batch-running': { on: 'exec', when: 'during', key: '/1-1-0-0' },
  'release-unasked': { on: 'destroy', when: 'before', key: '' },
  'release-running': { on: 'destroy', when: 'during', key: '' },
  'release-done': { on: 'destroy', when: 'after', key: '' },
}
const cut = 'connection-cut'
const names = [...Object.keys(killPoints), cut]

const connection = dockerConnection(process.env['DOCKER_HOST'])
let home: DurabilityHome
let daytona: LoopbackDaytona
let imageMap: Readonly<Record<string, string>>
let marks = ''

beforeAll(async () => {
  home = await openHome()
  imageMap = await ensureTestImages({ connection, cacheDirectory: home.environment.cacheDirectory })
  daytona = await LoopbackDaytona.start({ connection })
  marks = join(home.folder, 'marks')
  await mkdir(marks)
})

afterAll(async () => {
  await daytona.close()
  await home.close()
})

function environment() {
  const { env, ...rest } = home.environment
  return { ...rest, env: { ...env, DAYTONA_API_KEY: daytona.apiKey, DAYTONA_API_URL: daytona.access.apiUrl } }
}

async function runJob(folder: string, options: RunOptions): Promise<JobSummary> {
  const taskset = await Taskset.load(folder)
  const job = await taskset.run({
    provider: 'daytona',
    environment: environment(),
    imageMap,
    concurrency: 10,
    ...options,
  })
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

const mark = (name: string, what: 'begun' | 'killed') => join(marks, `${name}.${what}`)

/** Says what it does, once; two of them wait until a worker, or their connection, has died. */
function taskOf(name: string): DurabilityTask {
  const waits = name === cut || name === 'batch-running'
  const wait = 'touch /app/begun; until [ -e /app/go ]; do sleep 0.05; done; sleep 0.5'
  const slow = ['echo begin >> /app/turns', ...(waits ? [wait] : []), 'echo end >> /app/turns']
  const tests = `[ "$(cat /app/turns | tr '\\n' ' ')" = "one begin end " ] && echo 1 > /logs/verifier/reward.txt`
  return { name, turns: ['mkdir -p /app; echo one >> /app/turns', slow.join('\n')], tests }
}

/** Runs a command in the sandbox of a task, as its owner at Daytona may. */
async function ask(name: string, command: string): Promise<string> {
  const sandbox = daytona.sandboxes.all().find(({ dto }) => dto.labels['rollcall.workflow']?.includes(`.${name}.`))
  if (sandbox?.dto.state !== 'started') return ''
  return (await sandbox.running().execute({ command })).result
}

async function actWhenBegun(name: string, act: () => Promise<void>): Promise<void> {
  const begun = async () => await ask(name, 'ls /app 2>/dev/null')
  await expect.poll(begun, { timeout: 120_000 }).toContain('begun')
  await act()
  await expect.poll(() => existsSync(mark(name, 'killed')), { timeout: 60_000 }).toBe(true)
  await ask(name, 'touch /app/go')
}

/** Tells the workers that are to die in the middle of a call that Daytona has begun with it. */
async function tellOfStates(signal: AbortSignal): Promise<void> {
  const stateOf = (name: string) =>
    daytona.sandboxes.all().find(({ dto }) => dto.labels['rollcall.workflow']?.includes(`.${name}.`))?.dto.state
  for (const [name, isBegun] of [
    ['open-running', (state?: string) => state !== undefined],
    ['release-running', (state?: string) => state === 'destroying' || state === 'destroyed'],
  ] as const) {
    while (!isBegun(stateOf(name))) await delay(5, undefined, { signal })
    await writeFile(mark(name, 'begun'), '')
  }
}

test('killed workers and cut connections change nothing: every command once, every rollout graded', async () => {
  const points = Object.entries(killPoints).map(([name, { on, when, key }]) => ({
    on,
    when,
    key: `[/.]?killed[-./](rollouts/)?${name}[-.]script[-.]1${key}(-[0-9a-f]{16})?$`,
    marker: mark(name, 'killed'),
    begun: mark(name, 'begun'),
  }))
  const file = join(home.folder, 'kill-points.json')
  await writeFile(file, JSON.stringify(points))
  const { stateDirectory, cacheDirectory, storeUrl, env } = environment()
  const settings = { killPoints: file, stateDirectory, cacheDirectory, storeUrl, providers: ['daytona'] }
  const log = join(home.folder, 'workers.log')
  const pool = new WorkerPool({ entry: 'testing/killing-worker.ts', args: [JSON.stringify(settings)], env, log })
  await Promise.all([pool.start(), pool.start()])
  const telling = new AbortController()
  const acting = [
    actWhenBegun('batch-running', () => writeFile(mark('batch-running', 'begun'), '')),
    actWhenBegun(cut, async () => {
      daytona.cutTerminals()
      await writeFile(mark(cut, 'killed'), '')
    }),
    tellOfStates(telling.signal),
  ]
  const tasks = await writeTasks(join(home.folder, 'tasks'), names.map(taskOf))
  const before = daytona.creations.length
  const summary = await runJob(tasks, { job: 'killed', agent: 'script', worker: 'shared' })
  telling.abort()
  await Promise.allSettled(acting)
  await pool.close()
  expect(summary).toMatchObject({ graded: names.length, failed: 0, mean: 1 })
  expect(names.filter((name) => !existsSync(mark(name, 'killed')))).toEqual([])
  const created = daytona.creations.slice(before).map(({ name }) => name)
  expect(created).toHaveLength(new Set(created).size)
})

test('nothing is left at Daytona', async () => {
  await expect.poll(() => daytona.sandboxes.names(), { timeout: 30_000 }).toEqual([])
})
