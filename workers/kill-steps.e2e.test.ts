import { existsSync, statSync } from 'node:fs'
import { writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { setTimeout as delay } from 'node:timers/promises'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { answerWith, chatAnswer, startModelServer } from '../agents/model-server-fixture.ts'
import type { ModelServer } from '../agents/model-server-fixture.ts'
import { processesNaming } from '../cli/fixtures/rollcall-process.ts'
import { Taskset } from '../client/index.ts'
import type { RolloutResult } from '../protocol/grade.ts'
import { readResults } from '../results/read-job.ts'
import { gradeFileKey, gradeKey } from '../store/keys.ts'
import { openStore } from '../store/open-store.ts'
import type { StoredGrade } from '../store/records.ts'
import { getJson } from '../store/stored-json.ts'
import { writeTaskInto } from '../tasks/task-fixture.ts'
import { openHome } from '../testing/durability-home.ts'
import type { DurabilityHome, EffectsFolder } from '../testing/durability-home.ts'
import type { KillPoint } from '../testing/kill-points.ts'
import { WorkerPool } from '../testing/worker-pool.ts'

/**
 * A worker dies with SIGKILL between any two activities of a task of two steps, of which the second has a separate
 * verifier, and in the middle of those that only such tasks have. Phases: 1 to 4 are the first step's preparation, turns,
 * artifacts and grading, 5 to 8 the second's. It dies, too, while a judge grades tasks of one step.
 */
type Instants = Readonly<Record<string, Pick<KillPoint, 'on' | 'when'> & { key: string }>>
const inSteps: Instants = {
  'health-unstored': { on: 'putOnce', when: 'before', key: '/i1/p0/health/000001.json' },
  'setup-running': { on: 'exec', when: 'during', key: '/1-3-0-0' },
  'setup-stored': { on: 'putOnce', when: 'after', key: '/i1/p1/prepared.json' },
  'artifacts-stored': { on: 'putOnce', when: 'after', key: '/i1/p3/collected.json' },
  'tests-running': { on: 'exec', when: 'during', key: '/4-0-3-0' },
  'first-graded': { on: 'putOnce', when: 'after', key: '/i1/p4/grade.json' },
  'collect-running': { on: 'exec', when: 'during', key: '/7-0-0-0' },
  'verifier-unrecorded': { on: 'putOnce', when: 'before', key: '/i1/p8/opened.json' },
  'verifier-grading': { on: 'exec', when: 'before', key: '/8-0-3-0' },
  'verifier-testing': { on: 'exec', when: 'during', key: '/8-0-3-0' },
  'verifier-released': { on: 'destroy', when: 'after', key: '' },
}
const answerOfJudge = '/i1/p2/verifier/judge-answer-1.json'
const inJudge: Instants = {
  'judge-asked': { on: 'get', when: 'during', key: answerOfJudge },
  'judge-stored': { on: 'putOnce', when: 'after', key: answerOfJudge },
}
const killPoints: Instants = { ...inSteps, ...inJudge }
const [names, judged] = [Object.keys(inSteps), Object.keys(inJudge)]
const job = 'steps'
/** In the command line of the separate verifier's tests: nothing of the host is mounted there. */
const verifierMark = `verifier-testing-${process.pid}`

let home: DurabilityHome
let pool: WorkerPool
let effects: EffectsFolder
let model: ModelServer
/** What each judge was asked, and when. */
const asked: { readonly task: string; readonly body: unknown; readonly at: number }[] = []
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
    'steps/one/tests/test.sh': `#!/bin/bash\n${tell('tests')}\n${wait('tests-running')}\n${reward('[ "$(cat /app/one)" = one ]')}\n`,
    'steps/two/instruction.md': 'Two.\n',
    'steps/two/solution/solve.sh': `#!/bin/bash\n${tell('two')}\necho two >> /app/two\n`,
    'steps/two/tests/Dockerfile': 'FROM debian:12\nCOPY test.sh /tests/test.sh\n',
    'steps/two/tests/test.sh': [
      '#!/bin/bash',
      'echo run >> /tmp/runs',
      name === 'verifier-testing' ? `bash -c 'sleep 2; : ${verifierMark}'` : 'true',
      reward('[ "$(cat /logs/artifacts/both /tmp/runs | tr -d \'\\n\')" = onetworun ]'),
    ].join('\n'),
  }
}

function judgedFiles(name: string): Record<string, string | undefined> {
  return {
    'task.toml': 'schema_version = "1.4"\n[environment]\nnetwork_mode = "no-network"\n',
    'environment/Dockerfile': 'FROM debian:12\nWORKDIR /app\n',
    'instruction.md': `This is ${name}.\n`,
    'solution/solve.sh': '#!/bin/bash\ntrue\n',
    'tests/test.sh': undefined,
    'rollcall.yaml': 'judge: { model: openai/a-judge, criteria: [{ name: good, description: It is. }] }\n',
  }
}

/** Each answer has a score of its own; one waits for the death of whoever asked. */
const judge: Parameters<typeof startModelServer>[0][number] = (response, request) => {
  const task = judged.find((name) => JSON.stringify(request.body).includes(`This is ${name}.`)) ?? ''
  asked.push({ task, body: request.body, at: Date.now() })
  if (task === 'judge-asked' && !existsSync(join(effects.path, 'killed', task))) {
    void writeFile(join(effects.path, 'begun', task), '')
    return
  }
  const score = asked.filter((one) => one.task === task).length / 100
  const text = JSON.stringify({ verdicts: [{ criterion: 'good', reason: 'So it seems.', score }] })
  answerWith(chatAnswer({ text }))(response, request)
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

/** Nobody in a verifier's sandbox can say to the host that its tests have begun. */
async function watchVerifier(over: AbortSignal): Promise<void> {
  while (!over.aborted && (await processesNaming(verifierMark)).length === 0) await delay(50)
  await writeFile(join(effects.path, 'begun/verifier-testing'), '')
}

beforeAll(async () => {
  home = await openHome()
  effects = await home.effectsFolder('effects')
  const points = join(home.folder, 'kill-points.json')
  await writeFile(points, JSON.stringify([...names, ...judged].map(killPointOf)))
  for (const name of names) await writeTaskInto(join(home.folder, 'tasks'), taskFiles(name), name)
  for (const name of judged) await writeTaskInto(join(home.folder, 'tasks'), judgedFiles(name), name)
  model = await startModelServer([judge])
  const { stateDirectory, cacheDirectory, storeUrl, env } = home.environment
  pool = new WorkerPool({
    entry: 'testing/killing-worker.ts',
    args: [JSON.stringify({ killPoints: points, stateDirectory, cacheDirectory, storeUrl })],
    env: { ...env, OPENAI_BASE_URL: `${model.url}/v1`, OPENAI_API_KEY: 'none' },
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
  const over = new AbortController()
  const watching = watchVerifier(over.signal)
  await running.result()
  over.abort()
  await Promise.all([watching, running.close()])
  const rollouts = [...names, ...judged].map((name) => `${name}.oracle.1`)
  results = await readResults(openStore(home.environment.storeUrl), job, rollouts)
})

afterAll(async () => {
  await pool.close()
  await model.close()
  await home.close()
})

test.each([...names, ...judged])('%s: its worker was killed there', (name) => {
  expect(existsSync(join(effects.path, 'killed', name))).toBe(true)
})

describe.each(names)('%s', (name) => {
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

describe.each(judged)('%s', (name) => {
  const at = { job, rollout: `${name}.oracle.1`, incarnation: 1, phase: 2 }
  const storedGrade = () => getJson<StoredGrade>(openStore(home.environment.storeUrl), gradeKey(at))

  test('it is graded by the answer that was recorded first, in the first attempt', async () => {
    const key = gradeFileKey({ ...at, name: 'judge-answer-1.json' })
    const answer = await getJson<{ text: string }>(openStore(home.environment.storeUrl), key)
    const { verdicts } = JSON.parse(answer?.text ?? '{}') as { verdicts?: { score: number }[] }
    const rewards = { reward: verdicts?.[0]?.score, good: verdicts?.[0]?.score }
    expect(results.find(({ task }) => task === name)).toMatchObject({ rewards, incarnations: 1, gradingAttempts: 1 })
    expect((await storedGrade())?.judge).toMatchObject({ answers: 1 })
  })

  test('it is asked again where the answer was lost, word for word, and counted; else not', async () => {
    const questions = asked.filter(({ task }) => task === name)
    const killedAt = statSync(join(effects.path, 'killed', name)).mtimeMs
    const again = questions.filter(({ at: askedAt }) => askedAt > killedAt)
    expect(questions.map(({ body }) => body)).toEqual(questions.map(() => questions[0]?.body))
    if (name === 'judge-stored') return expect(again).toEqual([])
    expect(again).not.toEqual([])
    expect((await storedGrade())?.judge).toMatchObject({ usage: { unrecordedCalls: 1 } })
  })
})

test('nothing is left', async () => {
  await pool.close()
  const left = await processesNaming(home.folder)
  expect(left.filter(({ command }) => !command.includes('start-dev'))).toEqual([])
})
