import { mkdtemp, readFile, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { processesNaming, RollcallProcess, untilNothing } from '../cli/fixtures/rollcall-process.ts'
import type { Ended } from '../cli/fixtures/rollcall-process.ts'
import type { ScheduleVerdict } from '../protocol/schedule.ts'
import { writeScriptedTask } from '../tasks/task-fixture.ts'

/** A nightly benchmark on a real server, with the worker that `schedule create` starts, and local sandboxes. */

/** As few as can show that six equal changes are not chance. */
const tasks = ['a', 'b', 'c', 'd', 'e', 'f'].map((letter) => `task-${letter}`)

let home = ''
let env: Record<string, string | undefined> = {}

beforeAll(async () => {
  home = await mkdtemp(join(tmpdir(), 'rollcall-nightly-'))
  const { TEMPORAL_ADDRESS: _, ...inherited } = process.env
  env = { ...inherited, ROLLCALL_STATE_DIR: join(home, 'state') }
  for (const name of tasks) await writeTask(name, 'echo done > /app/done')
})

afterAll(async () => {
  await rollcall(['server', 'stop'])
  for (const { pid } of await processesNaming(home)) process.kill(pid, 'SIGKILL')
  await rm(home, { recursive: true, force: true })
})

async function writeTask(name: string, solution: string): Promise<void> {
  const tests = '[ -e /app/done ] && reward=1 || reward=0; echo $reward > /logs/verifier/reward.txt'
  await writeScriptedTask(join(home, 'tasks'), name, { solution, tests })
}

function rollcall(args: readonly string[]): Promise<Ended> {
  return new RollcallProcess(args, env).ended
}

function save(verb: 'create' | 'update', agent: string): Promise<Ended> {
  const when = ['--cron', '0 3 * * *', '--time-zone', 'Europe/Berlin']
  const rest = ['--provider', 'local', '--agent', agent, '-n', '6', '--notify-file', join(home, 'told.jsonl')]
  return rollcall(['schedule', verb, 'nightly', join(home, 'tasks'), ...when, ...rest])
}

async function history(): Promise<ScheduleVerdict[]> {
  const { stdout } = await rollcall(['history', 'nightly', '--json'])
  return stdout
    .split('\n')
    .filter((line) => line !== '')
    .map((line) => JSON.parse(line) as ScheduleVerdict)
}

/** Starts a job now and waits for its verdict. */
async function triggered(nth: number): Promise<ScheduleVerdict | undefined> {
  expect(await rollcall(['schedule', 'trigger', 'nightly'])).toMatchObject({
    code: 0,
    stdout: 'Schedule nightly starts a job now.\n',
  })
  await expect.poll(async () => (await history()).length, { timeout: 40_000 }).toBe(nth)
  const notified = async () => (await readFile(join(home, 'told.jsonl'), 'utf8').catch(() => '')).split('\n').length - 1
  // The start is over when the verdict is told; until then another one would be left out.
  await expect.poll(notified, { timeout: 20_000 }).toBe(nth)
  const shown = async () => (await rollcall(['schedule', 'show', 'nightly'])).stdout
  await expect.poll(shown, { timeout: 20_000 }).not.toContain('running:')
  return (await history()).at(-1)
}

test('jobs of a schedule are compared with the last good one, and a changed task is no regression', async () => {
  expect(await save('create', 'oracle')).toMatchObject({ code: 0, stdout: expect.stringContaining('Next: ') })
  expect(await save('create', 'oracle')).toMatchObject({ code: 2, stderr: expect.stringContaining('exists') })
  const refused = await rollcall(['schedule', 'create', 'other', join(home, 'tasks'), '--cron', '61 3 * * *'])
  expect(refused).toMatchObject({ code: 2, stderr: expect.stringContaining('"61 3 * * *" in UTC, which the server') })

  // A schedule that this store cannot tell of does not hide the others.
  const elsewhere = { ...env, ROLLCALL_STORE: `file://${home}/another-store` }
  const foreign = await new RollcallProcess(['schedule', 'list'], elsewhere).ended
  expect(foreign).toMatchObject({ code: 0, stdout: 'No schedules.\n', stderr: expect.stringContaining('nightly') })

  const first = await triggered(1)
  expect(first).toMatchObject({ verdict: 'not-comparable', mean: 1, graded: 6, isBaseline: true })

  await writeTask('task-a', 'true')
  expect((await save('update', 'oracle')).code).toBe(0)
  expect(await triggered(2)).toMatchObject({
    verdict: 'same',
    baseline: first?.job,
    difference: { mean: 0 },
    tasks: [{ task: 'task-a', change: 'changed', before: 1, now: 0 }],
  })

  await writeTask('task-a', 'echo done > /app/done')
  expect((await save('update', 'nop')).code).toBe(0)
  const third = await triggered(3)
  expect(third).toMatchObject({ verdict: 'worse', isBaseline: false, mean: 0, difference: { mean: -1 } })
  expect(third?.tasks.filter(({ change }) => change === 'worse')).toHaveLength(5)

  expect((await rollcall(['schedule', 'show', 'nightly'])).stdout).toContain('latest: worse')
  expect((await rollcall(['schedule', 'delete', 'nightly'])).code).toBe(0)
  expect(await history()).toHaveLength(3)
}, 180_000)

test('its worker ends with the server', async () => {
  expect((await rollcall(['server', 'stop'])).code).toBe(0)
  await untilNothing(() => processesNaming(home), 30_000)
})
