import { cp, mkdtemp, readFile, readdir, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { processesNaming, RollcallProcess, untilNothing } from './fixtures/rollcall-process.ts'
import type { Ended } from './fixtures/rollcall-process.ts'
import { atifSchema } from '../results/atif-schema.ts'
import { writeScriptedTask } from '../tasks/task-fixture.ts'

/** The whole path on a real server with real workers and local sandboxes, as a user's shell sees it. */

const examples = fileURLToPath(new URL('../examples/tasks', import.meta.url))
const hello = join(examples, 'hello')

/** No other process of this machine sleeps as long. */
const sleeper = `sleep ${600_000 + process.pid}`

let home = ''
let env: Record<string, string | undefined> = {}

beforeAll(async () => {
  home = await mkdtemp(join(tmpdir(), 'rollcall-e2e-'))
  const { TEMPORAL_ADDRESS: _, ...inherited } = process.env
  env = { ...inherited, ROLLCALL_STATE_DIR: join(home, 'state') }
  await writeScriptedTask(home, 'slow', {
    solution: `echo begun; ${sleeper}`,
    tests: 'echo 1 > /logs/verifier/reward.txt',
  })
  await writeScriptedTask(home, 'silent', { solution: 'true', tests: 'true' })
})

afterAll(async () => {
  await rollcall(['server', 'stop'])
  // Only a failing test leaves any: the last one says that none is left.
  for (const { pid } of await processesNaming(home)) process.kill(pid, 'SIGKILL')
  await rm(home, { recursive: true, force: true })
})

function start(args: readonly string[]): RollcallProcess {
  return new RollcallProcess(args, env)
}

async function workersOf(job: string) {
  return (await processesNaming('workers/main')).filter(({ command }) =>
    command.includes(`"job":"${job}","stateDirectory":"${home}`),
  )
}

async function killWorkers(job: string): Promise<void> {
  for (const { pid } of await workersOf(job)) process.kill(pid, 'SIGKILL')
}

/** Waits until so many workers of a job have come since its start. */
async function untilServing(job: string, count: number): Promise<void> {
  const log = join(home, 'state/workers', `${job}.log`)
  const served = async () => (await readFile(log, 'utf8')).split(`serving rollcall-${job}`).length - 1
  await expect.poll(served, { timeout: 20_000 }).toBe(count)
}

function rollcall(args: readonly string[]): Promise<Ended> {
  return start(args).ended
}

/** `run` on the local provider with an export of its own. */
function run(taskset: string, args: readonly string[]): RollcallProcess {
  return start(['run', taskset, '--provider', 'local', '--jobs-dir', join(home, 'jobs'), ...args])
}

async function exported(...path: string[]): Promise<unknown> {
  return JSON.parse(await readFile(join(home, 'jobs', ...path), 'utf8'))
}

test('all examples are graded 1 for oracle: exit code 0, events as JSON lines, the last the summary', async () => {
  const { code, stdout, stderr } = await run(examples, ['--job', 'all', '--json']).ended
  expect(stderr).toContain('Job all is being planned: http')
  const lines = stdout
    .trimEnd()
    .split('\n')
    .map((line) => JSON.parse(line))
  const summary = lines.at(-1)
  const tasks = await readdir(examples)
  expect(summary).toMatchObject({ type: 'summary', job: 'all', mean: 1, graded: tasks.length, failed: 0 })
  expect(summary.rollouts.map((rollout: { id: string }) => rollout.id)).toContain('all.hello.oracle.1')
  expect(summary).toEqual(await exported('all', 'summary.json'))
  expect(lines[0]).toMatchObject({ version: 1, type: 'job', state: 'started', total: tasks.length })
  expect(lines.filter((line) => line.type === 'grade')).toHaveLength(tasks.length)
  expect(code).toBe(0)
  for (const task of tasks) {
    const trajectory = atifSchema.parse(await exported('all', `${task}.oracle.1`, 'agent/trajectory.json'))
    const instruction = await readFile(join(examples, task, 'instruction.md'), 'utf8')
    expect(trajectory.steps[0]).toMatchObject({ source: 'user', message: instruction })
    expect(trajectory.steps[1]?.tool_calls?.length).toBeGreaterThan(0)
  }
  const files = ['config.json', 'job.log', 'lock.json', 'result.json', 'summary.json']
  expect((await readdir(join(home, 'jobs/all'))).toSorted()).toEqual(
    [...files, ...tasks.map((task) => `${task}.oracle.1`)].toSorted(),
  )
})

test('the export of a rollout has the result, the trace and the output of every command', async () => {
  await run(hello, ['--job', 'one']).ended
  const folder = join(home, 'jobs/one/hello.oracle.1')
  expect(await exported('one/hello.oracle.1/result.json')).toMatchObject({
    task_name: 'hello',
    trial_name: 'hello.oracle.1',
    verifier_result: { rewards: { reward: 1 } },
    exception_info: null,
  })
  expect((await readFile(join(folder, 'verifier/reward.txt'), 'utf8')).trim()).toBe('1')
  const trace = (await readFile(join(folder, 'trace.jsonl'), 'utf8')).trimEnd().split('\n')
  const lines = trace.map((line) => JSON.parse(line))
  const execs = lines.filter((line) => line.type === 'exec')
  expect(execs.length).toBeGreaterThan(0)
  expect(new Set(execs.map((exec) => exec.id)).size).toBe(execs.length)
  const files: readonly string[] = await readdir(join(folder, 'execs')).catch(() => [])
  for (const exec of execs) {
    expect(exec.startedAt).toMatch(/^\d{4}-\d\d-\d\dT/)
    expect(files.includes(`${exec.id}.stdout`)).toBe(exec.stdoutBytes > 0)
  }
  expect(lines.at(-1)).toMatchObject({ type: 'grade', rewards: { reward: 1 } })
})

test('the same job again comes back to it; with other options it is refused, naming the difference', async () => {
  const first = await run(hello, ['--job', 'again', '--json']).ended
  const second = await run(hello, ['--job', 'again', '--json']).ended
  expect(second).toMatchObject({ code: 0, stderr: expect.stringContaining('was started before') })
  expect(second.stdout.trimEnd().split('\n').at(-1)).toBe(first.stdout.trimEnd().split('\n').at(-1))
  const third = await run(hello, ['--job', 'again', '-k', '2']).ended
  expect(third).toMatchObject({ code: 2, stdout: '', stderr: expect.stringMatching(/attempts was 1 and is now 2/) })
})

test('a rollout without a reward has failed: exit code 1, named apart, and no mean', async () => {
  const { code, stdout } = await run(join(home, 'silent'), ['--job', 'silent']).ended
  expect(code).toBe(1)
  expect(stdout).toContain('silent.oracle.1: reward-missing (who must act: grader)')
  const summary = await exported('silent/summary.json')
  expect(summary).toMatchObject({ graded: 0, failed: 1, rollouts: [{ failure: { code: 'reward-missing' } }] })
  expect(summary).not.toHaveProperty('mean')
})

test('--detach returns at once with the id; watch comes back and ends like run', async () => {
  const detached = await run(hello, ['--job', 'detached', '--detach', '--json']).ended
  expect(detached.code).toBe(0)
  expect(JSON.parse(detached.stdout)).toMatchObject({ type: 'detached', job: 'detached' })
  const watched = await rollcall(['watch', 'detached', '--json'])
  expect(watched.code).toBe(0)
  expect(JSON.parse(watched.stdout.trimEnd().split('\n').at(-1) ?? '')).toMatchObject({ type: 'summary', graded: 1 })
})

test('Ctrl-C cancels the job, says so, waits for the teardown and ends with 130', async () => {
  const running = run(join(home, 'slow'), ['--job', 'interrupted'])
  await running.says('slow.oracle.1 started')
  running.signal('SIGINT')
  await running.says('Cancelling: waiting for the sandboxes to be removed')
  expect((await running.ended).code).toBe(130)
  expect(await exported('interrupted/summary.json')).toMatchObject({ graded: 0, failed: 0, cancelled: 1 })
  expect(await processesNaming(sleeper)).toEqual([])
})

test('Ctrl-C twice leaves the job, which goes on cancelling; status and results know it', async () => {
  const running = run(join(home, 'slow'), ['--job', 'left'])
  await running.says('slow.oracle.1 started')
  running.signal('SIGINT')
  await running.says('Cancelling')
  let hasEnded = false
  void running.ended.then(() => (hasEnded = true))
  await untilNothing(async () => {
    running.signal('SIGINT')
    return hasEnded ? [] : ['rollcall run']
  }, 10_000)
  expect(await running.ended).toMatchObject({ code: 130, stderr: expect.stringContaining('rollcall watch left') })
  expect((await rollcall(['watch', 'left'])).code).toBe(130)
  expect((await rollcall(['status', 'left', '--json'])).stdout).toContain('"state":"cancelled"')
})

test('SIGKILL of the command stops nothing; cancel ends the job, pause and resume work before', async () => {
  const running = run(join(home, 'slow'), ['--job', 'killed'])
  await running.says('slow.oracle.1 started')
  running.signal('SIGKILL')
  await running.ended
  expect((await rollcall(['pause', 'killed'])).stdout).toContain('is paused')
  expect((await rollcall(['status', 'killed', '--json'])).stdout).toContain('"state":"paused"')
  expect((await rollcall(['resume', 'killed', '-n', '2'])).stdout).toContain('goes on')
  expect((await rollcall(['status', 'killed', '--json'])).stdout).toContain('"concurrency":2')
  const cancelled = await rollcall(['cancel', 'killed'])
  expect(cancelled).toMatchObject({ code: 0, stdout: expect.stringContaining('0 graded, 0 failed, 1 cancelled') })
})

test('a reader that goes away does not end the job or change the exit code', async () => {
  const running = run(hello, ['--job', 'unread', '--json'])
  await running.says('"type":"job"')
  running.closeStdout()
  expect((await running.ended).code).toBe(0)
  expect(await exported('unread/summary.json')).toMatchObject({ graded: 1 })
})

test('validate --run tells what is sound, what is silent, and what has no solution', async () => {
  const sound = await rollcall(['validate', hello, '--run', '--provider', 'local'])
  expect(sound).toMatchObject({ code: 0, stdout: expect.stringContaining('1 of 1 task is sound') })
  await cp(join(home, 'silent'), join(home, 'unsound/silent'), { recursive: true })
  await cp(join(home, 'silent'), join(home, 'unsound/unsolved'), { recursive: true })
  await rm(join(home, 'unsound/unsolved/solution'), { recursive: true })
  const unsound = await rollcall(['validate', join(home, 'unsound'), '--run', '--provider', 'local'])
  expect(unsound).toMatchObject({ code: 1, stdout: expect.stringContaining('oracle failed with reward-missing') })
  expect(unsound.stdout).toContain('unsolved: not sound: it has no solution')
  expect(unsound.stdout).toContain('0 of 2 tasks are sound')
})

test('what only planning can find out is exit code 2 and one sentence', async () => {
  const { code, stdout, stderr } = await run(hello, ['--job', 'wrong', '--provider-arg', 'colour=red']).ended
  expect({ code, stdout }).toEqual({ code: 2, stdout: '' })
  expect(stderr).toContain('Provider local has no setting "colour"')
  expect(stderr).not.toContain('started')
  expect(stderr).not.toMatch(/\n\s+at /)
})

test('a job that was refused is listed with what is wrong, one that runs as not finished', async () => {
  await run(hello, ['--job', 'refused', '--provider-arg', 'colour=red']).ended
  const running = run(join(home, 'slow'), ['--job', 'listed'])
  await running.says('slow.oracle.1 started')
  const { stdout } = await rollcall(['status'])
  expect(stdout).toMatch(/^refused {2}refused: Provider local has no setting "colour"/m)
  expect(stdout).toMatch(/^listed {2}not finished: rollcall status listed$/m)
  running.signal('SIGINT')
  expect((await running.ended).code).toBe(130)
})

test('who watches a job is told when its worker has died, and gives it another', async () => {
  const started = run(join(home, 'slow'), ['--job', 'orphan'])
  await started.says('slow.oracle.1 started')
  await killWorkers('orphan')
  await started.says('the worker of job orphan was ended by SIGKILL: starting another')
  await untilServing('orphan', 2)
  started.signal('SIGKILL')
  await started.ended
  const watching = start(['watch', 'orphan'])
  await watching.says('slow.oracle.1 started')
  await killWorkers('orphan')
  await watching.says(': starting another')
  await untilServing('orphan', 3)
  watching.signal('SIGKILL')
  expect((await rollcall(['cancel', 'orphan'])).stdout).toContain('1 cancelled')
})

test('the same command comes back to a job whose command and worker were killed, and gives it a worker', async () => {
  const first = run(join(home, 'slow'), ['--job', 'bothdead'])
  await first.says('slow.oracle.1 started')
  await expect.poll(() => processesNaming(sleeper), { timeout: 20_000 }).not.toEqual([])
  const before = await processesNaming(sleeper)
  first.signal('SIGKILL')
  await first.ended
  await killWorkers('bothdead')
  const second = run(join(home, 'slow'), ['--job', 'bothdead'])
  await second.says('was started before')
  await untilServing('bothdead', 2)
  await second.says('slow.oracle.1 started')
  expect(await processesNaming(sleeper)).toEqual(before)
  second.signal('SIGINT')
  expect((await second.ended).code).toBe(130)
  expect(await processesNaming(sleeper)).toEqual([])
})

test('a job whose server is killed goes on within seconds, and ends as if nothing had happened', async () => {
  const turns = Array.from({ length: 40 }, () => '  - calls: [{ tool: bash, args: { command: "sleep 0.2" } }]')
  await writeFile(join(home, 'turns.yaml'), ['turns:', ...turns].join('\n'))
  const agent = ['--agent', 'script', '--agent-arg', `file=${join(home, 'turns.yaml')}`]
  const running = run(hello, ['--job', 'bereft', '--json', ...agent])
  await running.says('"turn":3')
  const { pid } = JSON.parse(await readFile(join(home, 'state/server/current.json'), 'utf8'))
  process.kill(pid, 'SIGKILL')
  expect((await running.ended).code).toBe(0)
  const trace = await readFile(join(home, 'jobs/bereft/hello.script.1/trace.jsonl'), 'utf8')
  const ends = trace
    .split('\n')
    .filter((line) => line.includes('"type":"exec"'))
    .map((line) => Date.parse(JSON.parse(line).startedAt))
  const pausesMs = ends.slice(1).map((end, index) => end - (ends[index] ?? end))
  expect(Math.max(...pausesMs)).toBeLessThan(10_000)
})

test('when all jobs have ended their workers end and no sandbox is left', async () => {
  const workers = async () => (await processesNaming(home)).filter(({ command }) => !command.includes('start-dev'))
  await untilNothing(workers, 60_000)
  expect(await processesNaming(sleeper)).toEqual([])
})
