import { describe, expect, test } from 'vitest'
import { loadHarborTask } from './harbor-task.ts'
import { describeProblem } from './problems.ts'
import { writeTask } from './task-fixture.ts'
import type { FixtureFile } from './task-fixture.ts'
import { partOf, testFolders } from './task-parts.ts'

const twoSteps = { 'steps/one/instruction.md': 'First.\n', 'steps/two/instruction.md': 'Second.\n' }

async function load(toml: string, files: Record<string, FixtureFile> = {}) {
  const loaded = await loadHarborTask(await writeTask({ 'task.toml': toml, ...files }))
  if ('problems' in loaded) throw new Error(loaded.problems.map(describeProblem).join('\n'))
  return loaded.task
}

async function problemsOf(toml: string, files: Record<string, FixtureFile> = {}): Promise<string[]> {
  const loaded = await loadHarborTask(await writeTask({ 'task.toml': toml, ...files }))
  return 'problems' in loaded ? loaded.problems.map(describeProblem) : []
}

describe('steps', () => {
  test('each has what it states, and the task’s for what it leaves open', async () => {
    const task = await load(
      `
      multi_step_reward_strategy = "final"
      artifacts = ["/app/all"]
      [agent]
      timeout_sec = 10
      user = "worker"
      [verifier]
      timeout_sec = 20
      user = "tester"
      env = { A = "task", B = "task" }
      [[steps]]
      name = "one"
      min_reward = 0.5
      artifacts = [{ source = "out", destination = "kept/", exclude = ["*.o"] }]
      [steps.healthcheck]
      command = "true"
      [[steps]]
      name = "two"
      min_reward = { reward = 1, style = -1.5 }
      [steps.agent]
      timeout_sec = 1
      user = 0
      [steps.verifier]
      timeout_sec = 2
      user = 7
      env = { B = "step" }
      `,
      { ...twoSteps, 'steps/two/tests/more.sh': 'x', 'instruction.md': undefined },
    )
    expect(task).toMatchObject({ instruction: '', rewardStrategy: 'final', artifacts: [{ source: '/app/all' }] })
    const shared = { mode: 'shared', collect: [] }
    const healthcheck = { intervalMs: 5_000, timeoutMs: 30_000, startPeriodMs: 0, startIntervalMs: 5_000, retries: 3 }
    expect(task.steps).toEqual([
      {
        name: 'one',
        instruction: 'First.\n',
        agent: { timeoutMs: 10_000, user: 'worker' },
        verifier: { timeoutMs: 20_000, user: 'tester', env: { A: 'task', B: 'task' }, ...shared },
        minReward: { reward: 0.5 },
        healthcheck: { command: 'true', ...healthcheck },
        artifacts: [{ source: 'out', destination: 'kept/', exclude: ['*.o'] }],
      },
      {
        name: 'two',
        instruction: 'Second.\n',
        agent: { timeoutMs: 1_000, user: '0' },
        verifier: { timeoutMs: 2_000, user: '7', env: { A: 'task', B: 'step' }, ...shared },
        minReward: { reward: 1, style: -1.5 },
        artifacts: [],
      },
    ])
    expect(testFolders(task, partOf(task, 0))).toEqual(['tests'])
    expect(testFolders(task, partOf(task, 1))).toEqual(['tests', 'steps/two/tests'])
    expect(partOf(task, 0).artifacts.map(({ source }) => source)).toEqual(['/app/all', 'out'])
  })

  test.each<[string, Record<string, FixtureFile>, string]>([
    ['[[steps]]\nname = "one"', {}, 'steps/one/instruction.md is missing: expected a file with what the agent is told'],
    ['[[steps]]\nmin_reward = 1', {}, 'steps[0].name is missing: expected text in quotes'],
    ['[[steps]]\nname = "../x"', {}, 'steps[0].name is "../x": expected the name of a folder below steps/'],
    [
      '[[steps]]\nname = "one"\n[[steps]]\nname = "One"',
      twoSteps,
      'steps[1].name is "One": expected a name that no other step has',
    ],
    ['[[steps]]\nname = "one"', twoSteps, 'steps/two is present: expected a step of that name in [[steps]]'],
    [
      '[[steps]]\nname = "one"\nmin_reward = "1"',
      twoSteps,
      'steps[0].min_reward is "1": expected a number, or a table',
    ],
    [
      '[[steps]]\nname = "one"\nmin_reward = { a = nan }',
      twoSteps,
      'steps[0].min_reward.a is NaN: expected a finite number',
    ],
    ['[[steps]]\nname = "one"\nreward = 1', twoSteps, 'steps[0].reward is 1: expected no such key; known here: name'],
    [
      '[[steps]]\nname = "one"\n[steps.agent]\nnetwork_mode = "no-network"',
      twoSteps,
      'steps[0].agent.network_mode is "no-network": expected the same as environment.network_mode',
    ],
    ['multi_step_reward_strategy = "best"', {}, 'multi_step_reward_strategy is "best": expected "mean" or "final"'],
    ['', { 'steps/one/trajectory.json': '{}' }, 'steps/one/trajectory.json is present: expected none'],
  ])('%j is a problem', async (toml, files, problem) => {
    const found = await problemsOf(toml, files)
    expect(found).toEqual(expect.arrayContaining([expect.stringContaining(problem)]))
  })

  test('a step needs tests of its own where the task has none', async () => {
    const toml = '[[steps]]\nname = "one"\n[[steps]]\nname = "two"'
    const files = { ...twoSteps, 'tests/test.sh': undefined, 'steps/two/tests/test.sh': 'x' }
    expect(await problemsOf(toml, files)).toEqual([
      'steps/one/tests/test.sh or tests/test.sh is missing: expected a script that writes /logs/verifier/reward.txt',
    ])
  })
})

describe('artifacts', () => {
  test.each([
    ['artifacts = ["/a/../b"]', 'artifacts[0] is "/a/../b": expected a path without ".." in it'],
    ['artifacts = [{ source = "/a/../b" }]', 'artifacts[0].source is "/a/../b": expected a path without ".." in it'],
    ['artifacts = [3]', 'artifacts[0] is 3: expected a path in quotes, or a table'],
    [
      'artifacts = [{ source = "/a", destination = "/b" }]',
      'artifacts[0].destination is "/b": expected a path relative',
    ],
    [
      'artifacts = [{ source = "/a", destination = "manifest.json" }]',
      'artifacts[0].destination is "manifest.json": expected another name',
    ],
    ['artifacts = [{ source = "/a", service = "db" }]', 'artifacts[0].service is "db": expected "main"'],
    ['artifacts = [{ source = "/a", to = "b" }]', 'artifacts[0].to is "b": expected no such key; known here: source'],
  ])('%j is a problem', async (toml, problem) => {
    expect(await problemsOf(toml)).toEqual([expect.stringContaining(problem)])
  })
})

describe('health checks', () => {
  test.each([
    ['', 'environment.healthcheck.command is missing: expected text in quotes'],
    ['command = " "', 'environment.healthcheck.command is " ": expected a shell command'],
    ['command = "x"\nretries = -1', 'environment.healthcheck.retries is -1: expected a whole number, 0 or more'],
    [
      'command = "x"\ntimeout_sec = 0',
      'environment.healthcheck.timeout_sec is 0: expected a number of seconds above 0',
    ],
  ])('%j is a problem', async (lines, problem) => {
    expect(await problemsOf(`[environment.healthcheck]\n${lines}`)).toEqual([problem])
  })
})

describe('separate verifiers', () => {
  const dockerfile = { 'tests/Dockerfile': 'FROM scratch\n' }

  test('the nearest environment is the verifier’s; its image is built of the tests', async () => {
    const toml = `
      [environment]
      cpus = 4
      [verifier]
      network_mode = "no-network"
      [[verifier.collect]]
      command = "make report"
      user = 5
      [verifier.environment]
      memory_mb = 64
      [[steps]]
      name = "one"
      [[steps]]
      name = "two"
      [steps.verifier.environment]
      docker_image = "tester:1"
      [[steps.verifier.collect]]
      command = "more"
      timeout_sec = 3
    `
    const task = await load(toml, { ...twoSteps, ...dockerfile, 'steps/one/tests/Dockerfile': 'FROM scratch\n' })
    const [one, two] = task.steps.map(({ verifier }) => verifier)
    expect(one).toMatchObject({
      mode: 'separate',
      runtime: {
        image: { type: 'dockerfile', directory: expect.stringMatching(/steps\/one\/tests$/) },
        resources: { memoryMiB: 64 },
        network: { mode: 'none' },
      },
      collect: [{ command: 'make report', timeoutMs: 60_000, user: '5' }],
    })
    expect(two).toMatchObject({
      runtime: {
        image: { type: 'name', name: 'tester:1' },
        dockerfile: { directory: expect.stringMatching(/a-task\/tests$/) },
      },
      collect: [{ command: 'make report' }, { command: 'more', timeoutMs: 3_000 }],
    })
    expect(task.verifier.mode).toBe('separate')
  })

  test('one without an environment of its own asks for what the agent’s asks', async () => {
    const toml = '[environment]\ncpus = 4\n[verifier]\nenvironment_mode = "separate"'
    const { verifier } = await load(toml, { ...dockerfile, 'tests/test.sh': undefined })
    const runtime = { resources: { cpus: 4 }, image: { type: 'dockerfile' } }
    expect(verifier).toMatchObject({ mode: 'separate', runtime })
  })

  test('a step may share where the task’s verifier is separate', async () => {
    const separate = '[verifier]\nenvironment_mode = "separate"\n[[steps]]\nname = "one"\n'
    const shared = '[[steps]]\nname = "two"\n[steps.verifier]\nenvironment_mode = "shared"'
    const task = await load(separate + shared, { ...twoSteps, ...dockerfile })
    expect(task.steps.map(({ verifier }) => verifier.mode)).toEqual(['separate', 'shared'])
  })

  test.each<[string, Record<string, FixtureFile>, string]>([
    [
      '[verifier]\nenvironment_mode = "separate"',
      {},
      'tests/Dockerfile is missing: expected a Dockerfile that puts the tests',
    ],
    [
      '[verifier]\nenvironment_mode = "shared"\n[verifier.environment]\ncpus = 1',
      dockerfile,
      'verifier.environment is {"cpus":1}: expected none unless verifier.environment_mode is "separate"',
    ],
    ['[[verifier.collect]]\ncommand = "x"', {}, 'verifier.collect is [{"command":"x"}]: expected none unless'],
    [
      '[verifier.environment]\n[[verifier.collect]]\ncommand = "x"\nservice = "db"',
      dockerfile,
      'verifier.collect[0].service is "db": expected "main"',
    ],
    ['[verifier.environment]\nos = "windows"', dockerfile, 'verifier.environment.os is "windows": expected "linux"'],
    ['[verifier.environment]\nskills_dir = "/s"', dockerfile, 'verifier.environment.skills_dir is "/s": expected none'],
    [
      '[verifier.environment.healthcheck]\ncommand = "x"',
      dockerfile,
      'verifier.environment.healthcheck is {"command":"x"}: expected none',
    ],
    [
      'artifacts = ["/tests/x"]\n[verifier.environment]',
      dockerfile,
      'artifacts[0].source is "/tests/x": expected nothing that holds or lies in /tests',
    ],
    [
      'artifacts = ["/logs"]\n[verifier.environment]',
      dockerfile,
      'expected nothing that holds or lies in /logs/verifier',
    ],
  ])('%j is a problem', async (toml, files, problem) => {
    expect(await problemsOf(toml, files)).toEqual([expect.stringContaining(problem)])
  })
})

test.each([
  ['[[steps]]\nname = "one"\n[steps.verifier.env]\nA = "${B-}"', 'steps[0].verifier.env.A'],
  ['[verifier.environment]\ndocker_image = "v"\n[verifier.environment.env]\nA = "${B-}"', 'verifier.environment.env.A'],
])('what is no template of a value from the host is refused wherever it stands: %j', async (toml, field) => {
  const found = await problemsOf(toml, { 'steps/one/instruction.md': toml.includes('steps') ? 'One.' : undefined })
  expect(found).toEqual([expect.stringContaining(`${field} is "\${B-}": expected plain text`)])
})

test('hosts without a mode mean an allowlist', async () => {
  const { runtime } = await load('[environment]\nallowed_hosts = ["example.com"]')
  expect(runtime.network).toEqual({ mode: 'allowlist', hosts: ['example.com'] })
})

test('a Dockerfile is kept beside an image, for jobs that ignore the image', async () => {
  const files = { 'environment/Dockerfile': 'FROM scratch\n' }
  const { runtime } = await load('[environment]\ndocker_image = "x"', files)
  expect(runtime).toMatchObject({ image: { type: 'name' }, dockerfile: { type: 'dockerfile' } })
})
