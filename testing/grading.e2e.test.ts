import { mkdir, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { stringify } from 'yaml'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { answerWith, chatAnswer, startModelServer } from '../agents/model-server-fixture.ts'
import type { ModelServer } from '../agents/model-server-fixture.ts'
import { processesNaming, untilNothing } from '../cli/fixtures/rollcall-process.ts'
import { regradeJob, Taskset } from '../client/index.ts'
import type { Job, RunOptions } from '../client/index.ts'
import { cacheDirectory } from '../protocol/directories.ts'
import { failureKinds } from '../protocol/failure.ts'
import type { RolloutResult } from '../protocol/grade.ts'
import { dockerConnection } from '../providers/docker/docker-connection.ts'
import { readPlan, readResults } from '../results/read-job.ts'
import { ensureTestImages } from '../scripts/test-images.ts'
import { gradeKey } from '../store/keys.ts'
import { openStore } from '../store/open-store.ts'
import type { Store } from '../store/store.ts'
import { writeScriptedTask, writeTaskInto } from '../tasks/task-fixture.ts'
import { openHome } from './durability-home.ts'
import type { DurabilityHome } from './durability-home.ts'

/** Agents and test scripts that do their worst to a reward; a judge; and artifacts that are graded again. */

const reward = (value: string) => `echo ${value} >/logs/verifier/reward.txt`
const background = (script: string) => `setsid bash -c '${script}' >/dev/null 2>&1 &`

const adversaries = {
  seeded: { solution: `mkdir -p /logs/verifier; ${reward('1')}; echo '{"reward":1}' >/logs/verifier/reward.json` },
  linked: {
    solution: 'mkdir /tmp/mine; echo 1 >/tmp/mine/reward.txt; rm -rf /logs/verifier; ln -s /tmp/mine /logs/verifier',
  },
  'linked-reward': { tests: 'echo 1 >/tmp/r; ln -s /tmp/r /logs/verifier/reward.txt' },
  silent: {},
  failing: { tests: `${reward('1')}; exit 1` },
  nan: { tests: reward('nan') },
  loud: { tests: `head -c 100000000 /dev/zero | tr '\\0' x; ${reward('1')}` },
  during: {
    solution: background('while :; do echo 1 >/logs/verifier/reward.txt; sleep 0.01; done'),
    tests: `${reward('0')}; sleep 0.2`,
  },
  after: {
    solution: background(
      'until [ -s /logs/verifier/reward.txt ]; do :; done; echo 1 >/logs/verifier/reward.txt; sleep 99',
    ),
    tests: reward('0'),
  },
} as const

/** Docker only: agents of a user without root, who gets it, or puts programs where root looks for them. */
const escapes = {
  setuid: {
    dockerfile: 'RUN cp /bin/bash /usr/bin/rooted && chmod 4755 /usr/bin/rooted\n',
    solution: `/usr/bin/rooted -p -c 'mv /bin/bash /bin/kept; printf "#!/bin/kept\\n${reward('1')}\\n" >/bin/bash; chmod 755 /bin/bash'`,
  },
  path: {
    dockerfile: 'RUN mkdir /home/mine && chown 1234 /home/mine\nENV PATH=/home/mine/bin:$PATH\n',
    solution: 'true',
  },
} as const

const answerToml = `schema_version = "1.4"
artifacts = ["answer.txt"]
[environment]
network_mode = "no-network"
`
const answerTask = {
  'task.toml': answerToml,
  'environment/Dockerfile': 'FROM debian:12\nWORKDIR /app\n',
  'solution/solve.sh': '#!/bin/bash\necho 42 >answer.txt\necho 42 >kept-nowhere.txt\n',
}

/** By task and agent: `seeded.oracle`. */
const worst: Record<'local' | 'docker', Record<string, RolloutResult>> = { local: {}, docker: {} }
let first: Record<string, RolloutResult> = {}
let again: Record<string, RolloutResult> = {}
const said: string[] = []

/** Each step adds a line to one file, and its tests count them. */
const stepsTask = {
  'task.toml': `${answerToml.replace('answer.txt', 'lines.txt')}\n[[steps]]\nname = "one"\n[[steps]]\nname = "two"\n`,
  'environment/Dockerfile': 'FROM debian:12\nWORKDIR /app\n',
  'instruction.md': undefined,
  'tests/test.sh': undefined,
  ...Object.fromEntries(
    ['one', 'two'].flatMap((step, index) => [
      [`steps/${step}/instruction.md`, 'Add a line.\n'],
      [`steps/${step}/solution/solve.sh`, '#!/bin/bash\necho line >>lines.txt\n'],
      [`steps/${step}/tests/test.sh`, `#!/bin/bash\n[ $(wc -l <lines.txt) = ${index + 1} ] && ${reward('1')}\n`],
    ]),
  ),
}

let home: DurabilityHome
let store: Store
let server: ModelServer
let imageMap: Readonly<Record<string, string>>

beforeAll(async () => {
  home = await openHome()
  store = openStore(home.environment.storeUrl)
  const connection = dockerConnection(process.env['DOCKER_HOST'])
  imageMap = await ensureTestImages({ connection, cacheDirectory: cacheDirectory(process.env) })
  const text = JSON.stringify({ verdicts: [{ criterion: 'right', reason: 'It says 42.', score: 0.75 }] })
  server = await startModelServer([answerWith({}, 500), answerWith(chatAnswer({ text }))])
  await Promise.all([runWorst('local'), runWorst('docker'), gradeAgain()])
})

afterAll(async () => {
  // A job's own worker ends by itself after a last sweep, for which it needs the server.
  await untilNothing(() => processesNaming(`"stateDirectory":"${home.folder}`), 60_000)
  await server.close()
  await home.close()
})

/** Waits for a job's end; its results by task. */
async function resultsOf(job: Job): Promise<Record<string, RolloutResult>> {
  await job.result()
  await job.close()
  const planned = (await readPlan(store, job.id)) ?? []
  const names = planned.map(({ name }) => name)
  return Object.fromEntries((await readResults(store, job.id, names)).map((result) => [result.task, result]))
}

async function load(folder: string, options: RunOptions): Promise<Job> {
  const taskset = await Taskset.load(folder)
  return await taskset.run({ imageMap, concurrency: 4, environment: home.environment, ...options })
}

async function run(folder: string, options: RunOptions): Promise<Record<string, RolloutResult>> {
  return await resultsOf(await load(folder, options))
}

/** On local a job that accepts nothing below `clean`. */
async function runWorst(provider: 'local' | 'docker'): Promise<void> {
  const folder = join(home.folder, `adversaries-${provider}`)
  for (const [name, scripts] of Object.entries(adversaries)) {
    await writeScriptedTask(folder, name, { solution: 'true', tests: 'true', ...scripts })
  }
  if (provider === 'docker')
    for (const [name, escape] of Object.entries(escapes)) await writeEscape(folder, name, escape)
  const required = provider === 'local' ? { requireIntegrity: 'clean' as const } : {}
  const job = await load(folder, { job: `worst-${provider}`, provider, agent: ['oracle', 'nop'], ...required })
  await job.result()
  await job.close()
  const names = ((await readPlan(store, job.id)) ?? []).map(({ name }) => name)
  const results = await readResults(store, job.id, names)
  worst[provider] = Object.fromEntries(results.map((result) => [`${result.task}.${result.agent}`, result]))
}

function writeEscape(folder: string, name: string, escape: { dockerfile: string; solution: string }): Promise<string> {
  const files = {
    'task.toml': 'schema_version = "1.4"\n[agent]\nuser = 1234\n[environment]\nnetwork_mode = "no-network"\n',
    'environment/Dockerfile': `FROM debian:12\n${escape.dockerfile}WORKDIR /app\n`,
    'solution/solve.sh': `#!/bin/bash\n${escape.solution}\n`,
    'tests/test.sh': `#!/bin/bash\n${reward('0')}\n`,
  }
  return writeTaskInto(folder, files, name)
}

async function gradeAgain(): Promise<void> {
  const folder = join(home.folder, 'again')
  await writeTaskInto(folder, { ...answerTask, 'tests/test.sh': `#!/bin/bash\n${reward('0')}\n` }, 'answer')
  const judge = {
    model: 'openai-compatible/a-judge',
    criteria: [{ name: 'right', description: 'The answer is 42.' }],
    files: ['answer.txt'],
  }
  const judged = { ...answerTask, 'rollcall.yaml': stringify({ judge }), 'tests/test.sh': undefined }
  await writeTaskInto(folder, judged, 'judged')
  await writeTaskInto(folder, stepsTask, 'two-steps')
  await writeScriptedTask(folder, 'nothing-kept', { solution: 'true', tests: reward('1') })
  const env = { ...home.environment.env, OPENAI_COMPATIBLE_BASE_URL: `${server.url}/v1` }
  const environment = { ...home.environment, env }
  first = await run(folder, { job: 'first', provider: 'local', environment })

  const tests = join(home.folder, 'other-tests')
  await mkdir(join(tests, 'answer/tests'), { recursive: true })
  const script = `#!/bin/bash\n[ ! -e /app/kept-nowhere.txt ] && grep -q 42 /app/answer.txt && ${reward('1')}\n`
  await writeFile(join(tests, 'answer/tests/test.sh'), script, { mode: 0o755 })
  const onProgress = (line: string) => void said.push(line)
  again = await resultsOf(await regradeJob('first', { tests, environment, onProgress }))
}

describe.each(['local', 'docker'] as const)('on %s', (provider) => {
  describe.each(['oracle', 'nop'])('with %s', (agent) => {
    test.each([
      ['seeded', 'reward-missing'],
      ['linked', 'reward-missing'],
      ['linked-reward', 'reward-invalid'],
      ['silent', 'reward-missing'],
      ['nan', 'reward-invalid'],
    ])('%s: no reward, but a failure of the grader', (task, code) => {
      const result = worst[provider][`${task}.${agent}`]
      expect(result).toMatchObject({ state: 'failed', failure: { code } })
      expect(result?.rewards).toBeUndefined()
    })

    test.each(['failing', 'loud'])('%s: only the reward counts, not exit codes and how much was printed', (task) => {
      const graded = { state: 'graded', rewards: { reward: 1 }, integrity: 'clean' }
      expect(worst[provider][`${task}.${agent}`]).toMatchObject(graded)
    })
  })

  test.each(['during', 'after'])('a reward that is rewritten %s the tests is never a clean one', (task) => {
    const { state, integrity, failure } = worst[provider][`${task}.oracle`] ?? {}
    if (provider === 'docker' && state === 'graded') expect(integrity).toBe('live')
    else expect(failureKinds[failure?.code ?? 'internal'].actor).toBe('grader')
    const untouched = { state: 'graded', rewards: { reward: 0 }, integrity: 'clean' }
    expect(worst[provider][`${task}.nop`]).toMatchObject(untouched)
  })

  test('a task directory with a link out of itself runs with no agent', async () => {
    const folder = join(home.folder, `leaking-${provider}`)
    await writeTaskInto(folder, { 'tests/data': { link: '/etc' } }, 'leaking')
    const running = load(folder, { job: `leaking-${provider}`, provider, agent: ['oracle', 'nop'] })
    await expect(running).rejects.toThrow('tests/data is a symbolic link to "/etc"')
  })
})

test('an agent without root that became root, or could put programs in root’s way, is none to a grade', async () => {
  const found = Object.entries(worst.docker).map(([name, { integrity }]) => [name, integrity] as const)
  expect(Object.fromEntries(found)).toMatchObject({
    'setuid.nop': 'non-root',
    'setuid.oracle': 'clean',
    'path.nop': 'clean',
    'path.oracle': 'clean',
  })
  const key = gradeKey({ job: 'worst-docker', rollout: 'setuid.oracle.1', incarnation: 1, phase: 2 })
  const grade = JSON.parse(String(await store.get(key))) as Record<string, unknown>
  expect(grade['changedPaths']).toEqual(['/usr/bin/bash', '/usr/bin/kept'])
})

describe('graded again', () => {
  test('a judge’s weighted mean is the reward; a service that failed first was asked again', () => {
    expect(first['judged']).toMatchObject({ rewards: { reward: 0.75, right: 0.75 }, integrity: 'clean' })
  })

  test('the stored artifacts lie where they were, the other tests run, and no agent does', () => {
    expect(first['answer']).toMatchObject({ rewards: { reward: 0 } })
    expect(again['answer']).toMatchObject({
      id: 'first-g1.answer.oracle.1',
      rewards: { reward: 1 },
      integrity: 'separate',
      turns: 0,
    })
    expect(said.join('\n')).toContain('task judged keeps its tests')
  })

  test('each step is graded with what it left', () => {
    const steps = [{ rewards: { reward: 1 } }, { rewards: { reward: 1 } }]
    expect(first['two-steps']).toMatchObject({ state: 'graded', integrity: 'clean', steps })
    expect(again['two-steps']).toMatchObject({ state: 'graded', integrity: 'separate', turns: 0, steps })
  })

  test('a judge is asked anew about what the first agent left', async () => {
    expect(again['judged']).toMatchObject({ rewards: { right: 0.75 }, integrity: 'clean' })
    const grade = await store.get(gradeKey({ job: 'first-g1', rollout: 'judged.oracle.1', incarnation: 1, phase: 2 }))
    expect(JSON.parse(String(grade))).toMatchObject({ judge: { criteria: [{ name: 'right', reason: 'It says 42.' }] } })
    const asked = server.requests.map(({ body }) => JSON.stringify(body['messages']))
    expect(asked).toHaveLength(3)
    expect(asked[2]).toContain('\\n42\\n')
  })

  test('what kept no artifacts is a failure that says so, never 0', () => {
    expect(again['nothing-kept']).toMatchObject({
      state: 'failed',
      failure: { code: 'artifacts-missing', message: expect.stringContaining('kept no artifacts') },
    })
  })
})
