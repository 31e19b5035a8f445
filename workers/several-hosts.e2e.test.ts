import { mkdtemp, readdir, readFile, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { processesNaming, RollcallProcess, untilNothing } from '../cli/fixtures/rollcall-process.ts'
import { S3Server } from '../store/fixtures/s3-server.ts'
import { writeScriptedTask } from '../tasks/task-fixture.ts'

/**
 * Hosts that share nothing but a Temporal server and an S3 store: workers with state directories of their own, each
 * with its own local sandboxes, and a client that has neither.
 */

let home = ''
let s3: S3Server
let client: Record<string, string | undefined> = {}
const workers: RollcallProcess[] = []

beforeAll(async () => {
  home = await mkdtemp(join(tmpdir(), 'rollcall-hosts-'))
  s3 = await S3Server.start()
  const { TEMPORAL_ADDRESS: _, ...inherited } = process.env
  client = {
    ...inherited,
    ROLLCALL_STATE_DIR: join(home, 'client'),
    ROLLCALL_STORE: s3.url('hosts').href,
    AWS_ACCESS_KEY_ID: s3.credentials.accessKeyId,
    AWS_SECRET_ACCESS_KEY: s3.credentials.secretAccessKey,
  }
  const { stdout } = await rollcall(['server', 'start']).ended
  const [address] = /127\.0\.0\.1:\d+/.exec(stdout) ?? []
  client = { ...client, TEMPORAL_ADDRESS: address }
  await writeTask('slow', 'echo $$ >> begun; sleep 8; echo done >> effects')
  await writeTask('quick', 'sleep 1; echo done >> effects')
})

afterAll(async () => {
  for (const worker of workers) worker.signal('SIGTERM')
  await Promise.all(workers.map(({ ended }) => ended))
  await new RollcallProcess(['server', 'stop'], { ...client, TEMPORAL_ADDRESS: undefined }).ended
  // Only a failing test leaves any: the last one says that none is left.
  for (const { pid } of await processesNaming(home)) process.kill(pid, 'SIGKILL')
  await s3.remove()
  await rm(home, { recursive: true, force: true })
})

/** Graded 1 if its command ran exactly once in the sandbox that is graded. */
async function writeTask(name: string, solution: string): Promise<void> {
  const tests = '[ "$(cat /app/effects)" = done ] && reward=1 || reward=0; echo $reward > /logs/verifier/reward.txt'
  await writeScriptedTask(join(home, 'tasks'), name, { solution, tests })
}

function rollcall(args: readonly string[], more: Record<string, string> = {}): RollcallProcess {
  return new RollcallProcess(args, { ...client, ...more })
}

async function host(name: string, args: readonly string[] = []): Promise<RollcallProcess> {
  const state = { ROLLCALL_STATE_DIR: join(home, name), ROLLCALL_CACHE_DIR: join(home, `${name}-cache`) }
  const worker = rollcall(['worker', '--provider', 'local', ...args], state)
  workers.push(worker)
  // The last of its queues: whatever is placed from now on may be placed here.
  await expect.poll(() => worker.output, { timeout: 60_000 }).toMatch(/serving rollcall\.local$/m)
  return worker
}

function run(task: string, args: readonly string[]): RollcallProcess {
  const options = ['--provider', 'local', '--no-worker', '--jobs-dir', join(home, 'jobs'), ...args]
  return rollcall(['run', join(home, 'tasks', task), ...options])
}

interface Result {
  readonly rewards: Record<string, number>
  readonly incarnations: number
  readonly place: string
  readonly integrity: string
}

async function results(job: string): Promise<Result[]> {
  const folders = (await readdir(join(home, 'jobs', job), { withFileTypes: true })).filter((entry) =>
    entry.isDirectory(),
  )
  const texts = folders.map(({ name }) => readFile(join(home, 'jobs', job, name, 'result.json'), 'utf8'))
  return (await Promise.all(texts)).map((text) => {
    const { verifier_result: verifier, rollcall: ours } = JSON.parse(text)
    return {
      rewards: verifier.rewards,
      incarnations: ours.incarnations,
      place: ours.sandbox.place,
      integrity: ours.integrity,
    }
  })
}

/** Files called `begun` of the sandboxes that a host has now. */
async function begun(name: string): Promise<string[]> {
  const all = await readdir(join(home, name), { recursive: true }).catch(() => [])
  return all.filter((path) => path.endsWith('/begun'))
}

async function sandboxes(name: string): Promise<string[]> {
  const all = await readdir(join(home, name, 'local')).catch(() => [])
  return all.filter((entry) => entry.startsWith('rc-'))
}

test('the rollouts of one job are placed on hosts that share no disk', async () => {
  const [a, b] = await Promise.all([host('a', ['--sandboxes', '2']), host('b', ['--sandboxes', '2'])])
  const { code, stdout, stderr } = await run('quick', ['--job', 'wide', '-k', '6', '-n', '6']).ended
  expect({ code, stderr: code === 0 ? '' : `${stdout}${stderr}` }).toEqual({ code: 0, stderr: '' })
  const all = await results('wide')
  expect(all.map(({ rewards }) => rewards)).toEqual(Array.from({ length: 6 }, () => ({ reward: 1 })))
  expect(new Set(all.map(({ place }) => place)).size).toBe(2)
  expect([...(await sandboxes('a')), ...(await sandboxes('b'))]).toEqual([])
  for (const worker of [a, b]) worker.signal('SIGTERM')
  await Promise.all([a.ended, b.ended])
})

test('two workers of one host do not take each other’s attachments for processes of the agent', async () => {
  const pair = await Promise.all([host('a'), host('a')])
  const { code } = await run('quick', ['--job', 'pair', '-k', '8', '-n', '4']).ended
  expect(code).toBe(0)
  expect((await results('pair')).map(({ integrity }) => integrity)).toEqual(Array.from({ length: 8 }, () => 'clean'))
  for (const worker of pair) worker.signal('SIGTERM')
  await Promise.all(pair.map(({ ended }) => ended))
})

test('a host that is back before it is lost goes on with the same sandbox and the same command', async () => {
  const worker = await host('a')
  const job = run('slow', ['--job', 'back'])
  await expect.poll(() => begun('a'), { timeout: 60_000 }).toHaveLength(1)
  worker.signal('SIGKILL')
  await worker.ended
  const again = await host('a')
  const { code } = await job.ended
  expect(code).toBe(0)
  expect(await results('back')).toMatchObject([{ rewards: { reward: 1 }, incarnations: 1 }])
  expect(await sandboxes('a')).toEqual([])
  again.signal('SIGTERM')
  await again.ended
})

test('a host that stays away is lost: the rollout goes on elsewhere, and the host removes its sandbox when it is back', async () => {
  const first = await host('a')
  const job = run('slow', ['--job', 'moved', '--sandbox-loss', 'restart', '--host-timeout', '3s'])
  await expect.poll(() => begun('a'), { timeout: 60_000 }).toHaveLength(1)
  const second = await host('b')
  first.signal('SIGKILL')
  await first.ended
  await expect.poll(() => begun('b'), { timeout: 60_000 }).toHaveLength(1)
  expect(await sandboxes('a')).toHaveLength(1)
  const back = await host('a')
  const { code } = await job.ended
  expect(code).toBe(0)
  expect(await results('moved')).toMatchObject([{ rewards: { reward: 1 }, incarnations: 2 }])
  expect([...(await sandboxes('a')), ...(await sandboxes('b'))]).toEqual([])
  for (const worker of [second, back]) worker.signal('SIGTERM')
  await Promise.all([second.ended, back.ended])
  await untilNothing(() => processesNaming('begun; sleep 8'), 10_000)
})
