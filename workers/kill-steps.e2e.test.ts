import { existsSync } from 'node:fs'
import { writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { processesNaming } from '../cli/fixtures/rollcall-process.ts'
import { Taskset } from '../client/index.ts'
import type { RolloutResult } from '../protocol/grade.ts'
import { readResults } from '../results/read-job.ts'
import { openStore } from '../store/open-store.ts'
import { writeTaskInto } from '../tasks/task-fixture.ts'
import { openHome } from '../testing/durability-home.ts'
import type { DurabilityHome, EffectsFolder } from '../testing/durability-home.ts'
import type { KillPoint } from '../testing/kill-points.ts'
import { WorkerPool } from '../testing/worker-pool.ts'

/**
 * A worker dies with SIGKILL between any two activities of a task of two steps, of which the second has a separate
 * verifier, and in the middle of those that only such tasks have. Phases: 1 to 4 are the first step's preparation, turns,
 * artifacts and grading, 5 to 8 the second's.
 */
const killPoints: Readonly<Record<string, Pick<KillPoint, 'on' | 'when'> & { key: string }>> = {
  'health-unstored': { on: 'putOnce', when: 'before', key: '/i1/p0/health/000001.json' },
  'setup-running': { on: 'exec', when: 'during', key: '/1-3-0-0' },
  'setup-stored': { on: 'putOnce', when: 'after', key: '/i1/p1/prepared.json' },
  'artifacts-stored': { on: 'putOnce', when: 'after', key: '/i1/p3/collected.json' },
  'first-graded': { on: 'putOnce', when: 'after', key: '/i1/p4/grade.json' },
  'collect-running': { on: 'exec', when: 'during', key: '/7-0-0-0' },
  'verifier-unrecorded': { on: 'putOnce', when: 'before', key: '/i1/p8/opened.json' },
  'verifier-grading': { on: 'exec', when: 'before', key: '/8-0-3-0' },
  'verifier-released': { on: 'destroy', when: 'after', key: '' },
}
const names = Object.keys(killPoints)
const job = 'steps'

let home: DurabilityHome
let pool: WorkerPool
let effects: EffectsFolder
let results: RolloutResult[] = []

/** Goes on only when its worker is dead. */
const waitForKill = (task: string) =>
  `touch /effects/begun/${task}; until [ -e /effects/killed/${task} ]; do sleep 0.05; done`

function taskFiles(name: string): Record<string, string> {
  const tell = (what: string) => `echo ${what} >> /effects/${name}`
  const wait = (at: string) => (name === at ? waitForKill(name) : 'true')
  const reward = (condition: string) => `${condition} && r=1 || r=0; echo $r > /logs/verifier/reward.txt`
  return {
    'task.toml': `
[environment]
network_mode = "no-network"
[environment.healthcheck]
command = "echo health >> /effects/${name}; [ $(grep -c health /effects/${name}) -ge 2 ]"
interval_sec = 0.1
[[steps]]
name = "one"
artifacts = ["/app/one"]
[[steps]]
name = "two"
[steps.verifier]
environment_mode = "separate"
[[steps.verifier.collect]]
command = "${tell('collect')}; ${wait('collect-running')}; cat /app/one /app/two > /logs/artifacts/both"
`,
    'environment/Dockerfile': 'FROM debian:12\nWORKDIR /app\n',
    'instruction.md': '',
    'steps/one/instruction.md': 'One.\n',
    'steps/one/workdir/setup.sh': `${tell('setup')}\n${wait('setup-running')}\n`,
    'steps/one/solution/solve.sh': `#!/bin/bash\n${tell('one')}\necho one >> /app/one\n`,
    'steps/one/tests/test.sh': `#!/bin/bash\n${tell('tests')}\n${reward('[ "$(cat /app/one)" = one ]')}\n`,
    'steps/two/instruction.md': 'Two.\n',
    'steps/two/solution/solve.sh': `#!/bin/bash\n${tell('two')}\necho two >> /app/two\n`,
    'steps/two/tests/Dockerfile': 'FROM debian:12\nCOPY test.sh /tests/test.sh\n',
    'steps/two/tests/test.sh': `#!/bin/bash\n${reward('[ "$(cat /logs/artifacts/both | tr -d \'\\n\')" = onetwo ]')}\n`,
  }
}

function killPointOf(name: string): KillPoint {
  const { on, when, key } = killPoints[name] ?? { on: 'get', when: 'before', key: 'never' }
  const rollout = `[/.]?${job}[-./](rollouts/)?${name}[-.]`
  return {
    on,
    when,
    key: `${rollout}oracle[-.]1${key.replaceAll('.', '\\.')}(-[0-9a-f]{16})?$`,
    marker: join(effects.path, 'killed', name),
    ...(when === 'during' ? { begun: join(effects.path, 'begun', name) } : {}),
  }
}

beforeAll(async () => {
  home = await openHome()
  effects = await home.effectsFolder('effects')
  const points = join(home.folder, 'kill-points.json')
  await writeFile(points, JSON.stringify(names.map(killPointOf)))
  for (const name of names) await writeTaskInto(join(home.folder, 'tasks'), taskFiles(name), name)
  const { stateDirectory, cacheDirectory, storeUrl, env } = home.environment
  pool = new WorkerPool({
    entry: 'testing/killing-worker.ts',
    args: [JSON.stringify({ killPoints: points, stateDirectory, cacheDirectory, storeUrl })],
    env,
    log: join(home.folder, 'workers.log'),
  })
  for (let worker = 0; worker < 3; worker += 1) await pool.start()
  const taskset = await Taskset.load(join(home.folder, 'tasks'))
  const running = await taskset.run({
    job,
    provider: 'local',
    environment: home.environment,
    runtime: { mounts: [effects.mount] },
    concurrency: 100,
    worker: 'shared',
  })
  await running.result()
  await running.close()
  const rollouts = names.map((name) => `${name}.oracle.1`)
  results = await readResults(openStore(home.environment.storeUrl), job, rollouts)
})

afterAll(async () => {
  await pool.close()
  await home.close()
})

describe.each(names)('%s', (name) => {
  test('its worker was killed there', () => {
    expect(existsSync(join(effects.path, 'killed', name))).toBe(true)
  })

  test('both steps are graded, in one incarnation', () => {
    const result = results.find(({ task }) => task === name)
    expect(result).toMatchObject({ state: 'graded', rewards: { reward: 1 }, incarnations: 1, gradingAttempts: 2 })
    expect(result?.steps).toMatchObject([
      { rewards: { reward: 1 }, artifacts: [{ source: '/app/one', status: 'ok' }] },
      { rewards: { reward: 1 }, integrity: 'separate', artifacts: [{ source: '/logs/artifacts', status: 'ok' }] },
    ])
  })

  test('every effect once', async () => {
    const once = ['setup', 'one', 'tests', 'two', 'collect']
    expect(await effects.lines(name)).toEqual(['health', 'health', ...once])
  })
})

test('nothing is left', async () => {
  await pool.close()
  const left = await processesNaming(home.folder)
  expect(left.filter(({ command }) => !command.includes('start-dev'))).toEqual([])
})
