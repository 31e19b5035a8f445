import { mkdtemp, readFile, readdir, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { connectTemporal } from '../client/connect.ts'
import { environmentOfProcess } from '../client/environment.ts'
import type { RolloutExplanation } from '../client/explanation.ts'
import { processesNaming, RollcallProcess, untilNothing } from './fixtures/rollcall-process.ts'
import type { Ended } from './fixtures/rollcall-process.ts'
import { writeScriptedTask } from '../tasks/task-fixture.ts'

/** Looking at rollouts and into their sandboxes: why, shell, what is kept, and sweep. Real server, local sandboxes. */

/** No other process of this machine sleeps as long. */
const sleeper = `sleep ${700_000 + process.pid}`

let home = ''
let env: Record<string, string | undefined> = {}

beforeAll(async () => {
  home = await mkdtemp(join(tmpdir(), 'rollcall-look-'))
  const { TEMPORAL_ADDRESS: _, ...inherited } = process.env
  env = { ...inherited, ROLLCALL_STATE_DIR: join(home, 'state') }
  await writeScriptedTask(home, 'slow', { solution: sleeper, tests: 'echo 1 > /logs/verifier/reward.txt' })
  await writeScriptedTask(home, 'gated', {
    solution: 'until [ -e /app/open ]; do sleep 0.1; done',
    tests: 'echo 1 > /logs/verifier/reward.txt',
  })
  await writeScriptedTask(home, 'silent', { solution: 'echo made > /app/made', tests: 'true' })
})

afterAll(async () => {
  await rollcall(['server', 'stop'])
  for (const { pid } of await processesNaming(home)) process.kill(pid, 'SIGKILL')
  await rm(home, { recursive: true, force: true })
})

function start(args: readonly string[]): RollcallProcess {
  return new RollcallProcess(args, env)
}

function rollcall(args: readonly string[]): Promise<Ended> {
  return start(args).ended
}

function run(task: string, args: readonly string[]): RollcallProcess {
  return start(['run', join(home, task), '--provider', 'local', '--jobs-dir', join(home, 'jobs'), ...args])
}

async function why(rollout: string): Promise<RolloutExplanation> {
  const { stdout } = await rollcall(['why', rollout, '--json'])
  return JSON.parse(stdout) as RolloutExplanation
}

async function killWorkers(job: string): Promise<void> {
  const workers = (await processesNaming('workers/main')).filter(({ command }) =>
    command.includes(`"job":"${job}","stateDirectory":"${home}`),
  )
  for (const { pid } of workers) process.kill(pid, 'SIGKILL')
}

const sandboxes = async () =>
  (await readdir(join(home, 'state/local')).catch(() => [])).filter((name) => name.startsWith('rc-'))

/** As if the sandbox had been made three minutes earlier. */
async function age(name: string): Promise<void> {
  const path = join(home, 'state/local', name, 'sandbox.json')
  const record = JSON.parse(await readFile(path, 'utf8')) as { created: string }
  await writeFile(path, JSON.stringify({ ...record, created: new Date(Date.now() - 180_000).toISOString() }))
}

test('a running command is told with its time and its worker; where that worker dies nobody polls its queue', async () => {
  const running = run('slow', ['--job', 'busy'])
  await expect
    .poll(async () => (await why('busy.slow').catch(() => undefined))?.doing, { timeout: 30_000, interval: 200 })
    .toContain('it runs bash')
  const explained = await why('busy.slow')
  expect(explained).toMatchObject({
    id: 'busy.slow.oracle.1',
    state: 'running',
    phase: 'turns',
    turn: 0,
    worker: { pid: expect.any(Number) as number, host: expect.any(String) as string },
    sandbox: { provider: 'local', incarnation: 1 },
  })
  expect(Date.now() - Date.parse(explained.since ?? '')).toBeLessThan(60_000)
  const { stdout } = await rollcall(['why', 'busy.slow.oracle.1'])
  expect(stdout).toMatch(/^busy\.slow\.oracle\.1 {2}running\n {2}now +it runs bash ".*solve/)
  expect(stdout.split('\n').length).toBeLessThan(15)
  running.signal('SIGKILL')
  await running.ended
  await killWorkers('busy')
  const orphan = await why('busy.slow')
  expect(orphan).toMatchObject({ state: 'waiting', unservedQueue: 'rollcall-busy' })
  expect(orphan.doing).toContain('none polls the queue rollcall-busy')
})

test('what a terminated rollout with a dead worker has left is swept by hand, and the running job’s is not touched', async () => {
  const other = run('slow', ['--job', 'other'])
  await other.says('slow.oracle.1 started')
  await expect.poll(async () => (await sandboxes()).length, { timeout: 20_000 }).toBe(2)
  // Its worker would sweep, too.
  other.signal('SIGKILL')
  await other.ended
  await killWorkers('other')
  for (const name of await sandboxes()) await age(name)
  const environment = environmentOfProcess(env)
  const temporal = await connectTemporal({ ...environment, onProgress: () => {} })
  await temporal.client.workflow.getHandle('busy').terminate()
  await temporal.client.workflow.getHandle('busy.slow.oracle.1').terminate()
  await temporal.close()
  expect(await why('busy.slow')).toMatchObject({ state: 'lost' })
  const dry = await rollcall(['sweep', '--dry-run', '--provider', 'local'])
  expect(dry.stdout).toMatch(
    /would remove local rc-busy-slow-oracle-1-\w+ of busy\.slow\.oracle\.1: its rollout is over/,
  )
  const { code, stdout } = await rollcall(['sweep', '--json', '--provider', 'local'])
  const swept = stdout
    .trimEnd()
    .split('\n')
    .map((line) => JSON.parse(line) as { action: string; because: string })
  expect({ code, swept: swept.map(({ action, because }) => `${action}: ${because}`).toSorted() }).toEqual({
    code: 0,
    swept: ['left: its rollout runs', 'removed: its rollout is over'],
  })
  expect(await sandboxes()).toEqual([expect.stringContaining('rc-other')])
  const back = run('slow', ['--job', 'other'])
  await back.says('slow.oracle.1 started')
  back.signal('SIGINT')
  expect((await back.ended).code).toBe(130)
})

test('a person in a live sandbox helps the agent, and the grade is not called clean', async () => {
  const running = run('gated', ['--job', 'visited', '--json'])
  await expect
    .poll(async () => (await why('visited.gated').catch(() => undefined))?.sandbox, { timeout: 30_000, interval: 200 })
    .toBeDefined()
  const entered = await rollcall(['shell', 'visited.gated', '--command', 'touch open; pwd; exit 3'])
  expect(entered).toMatchObject({ code: 3, stdout: '/app\n' })
  expect(entered.stderr).toContain('will not be called clean')
  const { code, stdout } = await running.ended
  expect({ code, summary: JSON.parse(stdout.trimEnd().split('\n').at(-1) ?? '') as unknown }).toMatchObject({
    code: 0,
    summary: { rollouts: [{ rewards: { reward: 1 }, integrity: 'live' }] },
  })
  const late = await rollcall(['shell', 'visited.gated'])
  expect(late).toMatchObject({ code: 2, stdout: '' })
  expect(late.stderr).toContain('has been removed')
  expect(await why('visited.gated')).toMatchObject({ state: 'graded', ended: { rewards: { reward: 1 } } })
})

test('a failed rollout’s sandbox is kept: how to enter and remove it is said, and both work', async () => {
  const { code, stderr } = await run('silent', ['--job', 'kept', '--keep', 'on-failure']).ended
  expect(code).toBe(1)
  expect(stderr).toMatch(/^ {2}rollcall shell kept\.silent\.oracle\.1 {3}until 20\S+Z$/m)
  expect(stderr).toContain('remove: rollcall sweep --kept kept')
  expect(await rollcall(['shell', 'kept.silent.oracle.1', '--command', 'cat made'])).toMatchObject({
    code: 0,
    stdout: 'made\n',
  })
  const failed = await why('silent.oracle.1')
  expect(failed).toMatchObject({ id: 'kept.silent.oracle.1', state: 'failed' })
  expect(failed.ended?.failure).toMatchObject({ code: 'reward-missing', actor: 'grader' })
  const { stdout } = await rollcall(['why', 'kept.silent'])
  const trace = /trace +file:\/\/(\S+)/.exec(stdout)?.[1]
  expect(await readFile(trace ?? '', 'utf8')).toContain('"type":"turn"')
  for (const name of await sandboxes()) await age(name)
  expect((await rollcall(['sweep', '--provider', 'local'])).stdout).toContain('it is kept for a look inside')
  expect((await rollcall(['results', 'kept'])).stderr).toContain('rollcall shell kept.silent.oracle.1')
  expect((await rollcall(['sweep', '--kept', 'kept'])).stdout).toContain('removed 1, left 0')
  expect((await rollcall(['sweep', '--kept', 'kept'])).code).toBe(0)
  const unknown = await rollcall(['sweep', '--kept', 'kpet'])
  expect(unknown).toMatchObject({
    code: 2,
    stderr: expect.stringContaining('--kept is "kpet": expected the id of a job'),
  })
  expect(await sandboxes()).toEqual([])
  expect((await rollcall(['results', 'kept'])).stderr).not.toContain('rollcall shell')
})

test('an unknown rollout is exit code 2, with those that come near', async () => {
  for (const command of ['why', 'shell']) {
    const { code, stdout, stderr } = await rollcall([command, 'kept.silend.oracle.1'])
    expect({ code, stdout }).toEqual({ code: 2, stdout: '' })
    expect(stderr).toContain('the nearest are kept.silent.oracle.1')
  }
})

test('nothing is left', async () => {
  await untilNothing(async () => await processesNaming(sleeper), 30_000)
  expect(await sandboxes()).toEqual([])
})
