import { cp, mkdtemp, readdir, readFile, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { processesNaming, RollcallProcess } from './fixtures/rollcall-process.ts'
import { writeTaskInto } from '../tasks/task-fixture.ts'

/** Tasksets of every kind on the whole path, as a user's shell sees it. */

const examples = fileURLToPath(new URL('../examples', import.meta.url))
const secret = `t0ken-${process.pid}-of-this-test`

let home = ''
let env: Record<string, string | undefined> = {}

beforeAll(async () => {
  home = await mkdtemp(join(tmpdir(), 'rollcall-tasksets-'))
  const { TEMPORAL_ADDRESS: _, ...inherited } = process.env
  const caches = { ROLLCALL_STATE_DIR: join(home, 'state') }
  env = { ...inherited, ...caches, TEST_TOKEN: secret }
})

afterAll(async () => {
  await rollcall('server', 'stop')
  for (const { pid } of await processesNaming(home)) process.kill(pid, 'SIGKILL')
  await rm(home, { recursive: true, force: true })
})

function rollcall(...args: readonly string[]) {
  return new RollcallProcess(args, env).ended
}

const local = ['--provider', 'local', '--provider-arg', 'limits=ignore', '--jobs-dir']

async function readJson(...path: string[]): Promise<Record<string, unknown>> {
  return JSON.parse(await readFile(join(home, ...path), 'utf8')) as Record<string, unknown>
}

/** A task whose agent, check and image environment all have a value of the host, and print it. */
async function writeTelling(folder: string): Promise<void> {
  const toml = `schema_version = "1.4"
[environment]
network_mode = "no-network"
[environment.env]
SEEN = "\${TEST_TOKEN}"
[verifier.env]
CHECKED = "a-\${TEST_TOKEN}"
[solution.env]
SOLVED = "\${TEST_TOKEN}\${ABSENT_HERE:-!}"
`
  await writeTaskInto(
    folder,
    {
      'task.toml': toml,
      'environment/Dockerfile': 'FROM debian:12\nWORKDIR /app\n',
      'solution/solve.sh': '#!/bin/sh\necho "$SEEN"; echo "$SOLVED" >&2; [ "$SOLVED" = "$SEEN!" ] && echo ok >done\n',
      'tests/test.sh':
        '#!/bin/sh\necho "$CHECKED"\n[ "$CHECKED" = "a-$SEEN" ] && [ -e done ] && echo 1 >/logs/verifier/reward.txt\n',
    },
    'telling',
  )
}

async function filesHolding(folder: string, text: string): Promise<string[]> {
  const entries = await readdir(folder, { recursive: true, withFileTypes: true })
  const files = entries.filter((entry) => entry.isFile()).map((entry) => join(entry.parentPath, entry.name))
  const found = await Promise.all(
    files.map(async (path) => ((await readFile(path).catch(() => Buffer.of())).includes(text) ? [path] : [])),
  )
  return found.flat()
}

test('a folder of rows, a module with graders and a directory runs, with values of the host that are stored nowhere', async () => {
  const folder = join(home, 'mixed')
  await cp(join(examples, 'taskset.yaml'), join(folder, 'taskset.yaml'))
  await cp(join(examples, 'tasks.ts'), join(folder, 'tasks.ts'))
  await writeTelling(folder)

  const refused = await rollcall('run', folder, ...local, join(home, 'jobs'))
  expect(refused.code).toBe(2)
  expect(refused.stderr).toMatch(/ABSENT_HERE: asked for by telling[^]*TEST_TOKEN: asked for by telling[^]*--allow-env/)

  const consent = ['--allow-env', 'TEST_TOKEN', '--allow-env', 'ABSENT_HERE']
  const args = ['--exclude', 'primes-1000', '--job', 'mixed', '--print-config']
  const printed = await rollcall('run', folder, ...local, join(home, 'jobs'), ...consent, ...args)
  expect(printed.code).toBe(0)
  const jobFile = join(home, 'job.yaml')
  await writeFile(jobFile, printed.stdout)

  const ran = await rollcall('run', '-c', jobFile)
  expect(ran.stderr).toContain('TEST_TOKEN: asked for by telling')
  expect(ran.code).toBe(0)
  const summary = await readJson('jobs', 'mixed', 'summary.json')
  expect(summary).toMatchObject({ graded: 6, failed: 0, mean: 1 })
  const output = await readFile(join(home, 'jobs/mixed/telling.oracle.1/verifier/test-stdout.txt'), 'utf8')
  expect(output).toBe('a-***\n')
  const lock = await readJson('jobs', 'mixed', 'lock.json')
  expect(lock).toMatchObject({
    selection: { exclude: ['primes-1000'] },
    runtimes: { telling: { env: { SEEN: '${TEST_TOKEN}' }, network: 'none', limits: { lifetimeMs: 7_200_000 } } },
  })
  expect(await readJson('jobs/mixed/primes-10.oracle.1/result.json')).toMatchObject({
    verifier_result: { rewards: { reward: 1, right: 1, lines: 4 } },
    rollcall: { runtime: { network: 'none', workdir: '/app' } },
  })
  expect(await filesHolding(home, secret)).toEqual([])
})

test('a job’s own config.json starts the same job anew, out of the store', async () => {
  await rm(join(home, 'mixed'), { recursive: true })
  const config = join(home, 'jobs/mixed/config.json')
  const again = await rollcall('run', '-c', config, '--jobs-dir', join(home, 'jobs'), '--job', 'again', '--limit', '2')
  expect(again.code).toBe(0)
  expect(await readJson('jobs', 'again', 'summary.json')).toMatchObject({ graded: 2, mean: 1 })
})
