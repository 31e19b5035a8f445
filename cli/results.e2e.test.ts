import { readFile } from 'node:fs/promises'
import { join } from 'node:path'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { writeScriptedTask } from '../tasks/task-fixture.ts'
import { processesNaming, RollcallProcess } from './fixtures/rollcall-process.ts'
import type { Ended } from './fixtures/rollcall-process.ts'

/** What a job came to, as a person and a script see it: two agents, two attempts, one task whose tests say nothing. */

let home = ''
let env: Record<string, string | undefined> = {}

beforeAll(async () => {
  home = await mkdtemp(join(tmpdir(), 'rollcall-results-'))
  const { TEMPORAL_ADDRESS: _, ...inherited } = process.env
  env = { ...inherited, ROLLCALL_STATE_DIR: join(home, 'state') }
  const done = '[ -e /logs/artifacts/done ] && reward=1 || reward=0; echo $reward > /logs/verifier/reward.txt'
  await writeScriptedTask(join(home, 'tasks'), 'made', { solution: 'touch /logs/artifacts/done', tests: done })
  await writeScriptedTask(join(home, 'tasks'), 'silent', { solution: 'true', tests: 'true' })
})

afterAll(async () => {
  await rollcall(['server', 'stop'])
  // Only a failing test leaves any.
  for (const { pid } of await processesNaming(home)) process.kill(pid, 'SIGKILL')
  await rm(home, { recursive: true, force: true })
})

function rollcall(args: readonly string[]): Promise<Ended> {
  return new RollcallProcess(args, env).ended
}

const jobsDir = () => ['--jobs-dir', join(home, 'jobs')]

async function exported(path: string): Promise<unknown> {
  return JSON.parse(await readFile(join(home, 'jobs', path), 'utf8'))
}

test('agents and attempts stand side by side; a script learns that the mean is too low', async () => {
  const agents = ['--agent', 'oracle', '--agent', 'nop', '-k', '2']
  const run = ['run', join(home, 'tasks'), '--provider', 'local', '--job', 'both', ...agents, ...jobsDir()]
  const { code, stdout, stderr } = await rollcall([...run, '--fail-under', '0.9'])
  expect(code).toBe(1)
  expect(stderr).toContain('The mean is 0.5: expected at least 0.9 (--fail-under).')
  expect(stdout).toMatch(/oracle .* 1\.000 .* 2\/2 /)
  expect(stdout).toMatch(/nop .* 0\.000 .* 0\/2 /)
  expect(await exported('both/summary.json')).toMatchObject({
    mean: 0.5,
    graded: 4,
    failed: 4,
    statistics: {
      byAgent: [
        {
          agent: 'oracle',
          passHatK: [
            { k: 1, value: 1 },
            { k: 2, value: 1, tasks: 1 },
          ],
        },
        {
          agent: 'nop',
          passAtK: [
            { k: 1, value: 0 },
            { k: 2, value: 0, tasks: 1 },
          ],
        },
      ],
      failures: [{ code: 'reward-missing', actor: 'grader', count: 4 }],
    },
  })
})

test('results as CSV and JUnit, and the two agents compared', async () => {
  const csv = await rollcall(['results', 'both', '--csv'])
  expect(csv.stdout.trimEnd().split('\n')).toHaveLength(9)
  expect(csv.stdout).toMatch(/^made,oracle,2,graded,1,clean,/m)
  const junit = join(home, 'junit.xml')
  expect((await rollcall(['results', 'both', '--junit', junit])).code).toBe(1)
  expect(await readFile(junit, 'utf8')).toContain(
    '<testsuites name="both" tests="8" failures="2" errors="4" skipped="0">',
  )
  const compared = await rollcall(['compare', 'both:oracle', 'both:nop'])
  expect(compared).toMatchObject({ code: 0, stdout: expect.stringContaining('B − A: −1.000 over 1 task, p = 1.0000') })
})

test('rerun --failed runs what failed, and nothing else, in a new job that names its parent', async () => {
  const { code } = await rollcall(['rerun', 'both', '--failed', ...jobsDir()])
  expect(code).toBe(1)
  const { rollouts } = (await exported('both-r1/summary.json')) as { rollouts: { id: string }[] }
  expect(rollouts.map(({ id }) => id)).toEqual([
    'both-r1.silent.oracle.1',
    'both-r1.silent.nop.1',
    'both-r1.silent.oracle.2',
    'both-r1.silent.nop.2',
  ])
  expect(await exported('both-r1/summary.json')).toMatchObject({ parentJob: 'both', failed: 4 })
  expect(await exported('both-r1/lock.json')).toMatchObject({ parentJob: 'both', tasks: [{ name: 'silent' }] })
})

test('what cannot be run again is said, with exit code 2', async () => {
  const unknown = await rollcall(['rerun', 'both', 'made.nobody.1', ...jobsDir()])
  expect(unknown).toMatchObject({ code: 2, stderr: expect.stringContaining('job both has no made.nobody.1') })
  const again = await rollcall(['rerun', 'both', 'both.made.oracle.2', '--job', 'again', ...jobsDir()])
  expect(again.code).toBe(0)
  const nothing = await rollcall(['rerun', 'again', '--failed', ...jobsDir()])
  expect(nothing).toMatchObject({ code: 2, stderr: expect.stringContaining('there is nothing to run again') })
  const nobody = await rollcall(['rerun', 'nobody', '--failed', ...jobsDir()])
  expect(nobody).toMatchObject({ code: 2, stderr: expect.stringContaining('Job "nobody" is not in the store') })
})
