import { existsSync } from 'node:fs'
import { writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { answerWith, chatAnswer, startModelServer } from '../agents/model-server-fixture.ts'
import type { ModelServer } from '../agents/model-server-fixture.ts'
import { processesNaming } from '../cli/fixtures/rollcall-process.ts'
import { Taskset } from '../client/index.ts'
import type { RunOptions } from '../client/index.ts'
import type { JobSummary } from '../protocol/grade.ts'
import { connectToDocker, dockerConnection } from '../providers/docker/docker-connection.ts'
import { readResults } from '../results/read-job.ts'
import { testImageMap } from '../scripts/test-images.ts'
import { openStore } from '../store/open-store.ts'
import { traceKey } from '../store/keys.ts'
import { openHome, writeTasks } from '../testing/durability-home.ts'
import type { DurabilityHome, DurabilityTask, EffectsFolder } from '../testing/durability-home.ts'
import type { KillPoint } from '../testing/kill-points.ts'
import { WorkerPool } from '../testing/worker-pool.ts'

/**
 * A worker dies with SIGKILL at every instant that matters, each once. All rollouts run at the same time and are served
 * by the same few workers, so that every death hits all the others too.
 */
const providers = ['local', 'docker'] as const
type ProviderName = (typeof providers)[number]
const workersAtOnce = 3

/** One kill point for each task, which is named after it; keys are relative to the rollout. */
const killPoints: Readonly<Record<string, Pick<KillPoint, 'on' | 'when'> & { key: string }>> = {
  'open-unasked': { on: 'create', when: 'before', key: '' },
  'open-answered': { on: 'create', when: 'after', key: '' },
  'open-recorded': { on: 'putOnce', when: 'after', key: '/i1/opened.json' },
  'answer-unstored': { on: 'putOnce', when: 'before', key: '/i1/p1/turns/000001.answer.json' },
  'answer-stored': { on: 'putOnce', when: 'after', key: '/i1/p1/turns/000001.answer.json' },
  'batch-unstarted': { on: 'exec', when: 'before', key: '/1-1-0-0' },
  'batch-running': { on: 'exec', when: 'during', key: '/1-1-0-0' },
  'batch-unstored': { on: 'putOnce', when: 'before', key: '/i1/p1/turns/000001.result.json' },
  'batch-stored': { on: 'putOnce', when: 'after', key: '/i1/p1/turns/000002.result.json' },
  'turns-untold': { on: 'putOnce', when: 'after', key: '/i1/p1/turns/000003.result.json' },
  'grade-unstarted': { on: 'exec', when: 'before', key: '/2-0-0-0' },
  'grade-running': { on: 'exec', when: 'during', key: '/2-0-3-0' },
  'grade-unstored': { on: 'putOnce', when: 'before', key: '/i1/p2/grade.json' },
  'grade-stored': { on: 'putOnce', when: 'after', key: '/i1/p2/grade.json' },
  'record-traced': { on: 'putOnce', when: 'after', key: '/trace.jsonl' },
  'record-unstored': { on: 'putOnce', when: 'before', key: '/result.json' },
  'record-stored': { on: 'putOnce', when: 'after', key: '/result.json' },
  'release-unasked': { on: 'destroy', when: 'before', key: '' },
  'release-done': { on: 'destroy', when: 'after', key: '' },
}
const undisturbed = 'undisturbed'
const names = Object.keys(killPoints)

let home: DurabilityHome
let pool: WorkerPool
let model: ModelServer
let effects: Record<ProviderName, EffectsFolder>

/** Each line tells what was done, in which machine, and which process with which start time is at work. */
const tell = (what: string, task: string) => `echo "${what} $(hostname) $(cat /tmp/identity)" >> /effects/${task}`
/** Goes on only when its worker is dead. */
const waitForKill = (task: string) =>
  `touch /effects/begun/${task}; until [ -e /effects/killed/${task} ]; do sleep 0.05; done; sleep 0.5`

function taskOf(name: string): DurabilityTask {
  const identity = 'echo "$(cat /proc/sys/kernel/random/uuid) $$" > /tmp/identity'
  const process = "s=$(cut -d' ' -f22 /proc/$p/stat)"
  const slow = [
    'sleep 600 & p=$!',
    `${process}; ${tell('begin $p $s', name)}`,
    ...(name === 'batch-running' ? [waitForKill(name)] : []),
    `${process}; ${tell('end $p $s', name)}`,
    'kill $p; wait $p 2>/dev/null; echo two >> /tmp/log; wc -l < /tmp/log',
  ]
  return {
    name,
    turns: [
      `${identity}; ${tell('one', name)}; echo one >> /tmp/log; cat /tmp/log`,
      slow.join('\n'),
      `${tell('three', name)}; echo three >> /tmp/log; cat /tmp/log`,
    ],
    tests: [
      ...(name === 'grade-running' ? [waitForKill(name)] : []),
      tell('tests', name),
      'echo "0.$(wc -l < /tmp/log)" > /logs/verifier/reward.txt',
    ].join('\n'),
  }
}

function killPointsOf(provider: ProviderName): KillPoint[] {
  const rollout = (name: string) => `[/.]?${provider}[-./](rollouts/)?${name}[-.]`
  const folder = effects[provider].path
  const files = (name: string) => ({ marker: join(folder, 'killed', name), begun: join(folder, 'begun', name) })
  const script = Object.entries(killPoints).map(([name, { on, when, key }]) => ({
    on,
    when,
    // The last is a sandbox's name.
    key: `${rollout(name)}script[-.]1${key.replaceAll('.', '\\.')}(-[0-9a-f]{16})?$`,
    ...files(name),
  }))
  const key = `/${provider}-model/rollouts/model-asked\\.model-openai-a-model\\.1/i1/p1/turns/000000\\.answer\\.json$`
  return [...script, { on: 'get', when: 'during', key, ...files('model-asked') }]
}

beforeAll(async () => {
  home = await openHome()
  effects = { local: await home.effectsFolder('local'), docker: await home.effectsFolder('docker') }
  model = await startModelServer([answerForTranscript])
  const points = join(home.folder, 'kill-points.json')
  await writeFile(points, JSON.stringify(providers.flatMap(killPointsOf)))
  await writeTasks(join(home.folder, 'tasks'), names.map(taskOf))
  await writeTasks(join(home.folder, 'calm'), [taskOf(undisturbed)])
  await writeTasks(join(home.folder, 'model'), [{ ...taskOf('model-asked'), turns: ['true'] }])
  const { stateDirectory, cacheDirectory, storeUrl, env } = home.environment
  pool = new WorkerPool({
    entry: 'testing/killing-worker.ts',
    args: [JSON.stringify({ killPoints: points, stateDirectory, cacheDirectory, storeUrl })],
    env: { ...env, OPENAI_BASE_URL: `${model.url}/v1`, OPENAI_API_KEY: 'none' },
    log: join(home.folder, 'workers.log'),
  })
})

afterAll(async () => {
  await pool.close()
  await model.close()
  await home.close()
})

/** The first request of each provider's rollout stays open until its worker is dead. */
function answerForTranscript(...[response, request]: Parameters<ReturnType<typeof answerWith>>): void {
  const asked = JSON.stringify(request.body)
  const provider = asked.includes('provider docker') ? 'docker' : 'local'
  const { path } = effects[provider]
  if (!existsSync(join(path, 'killed/model-asked'))) {
    void writeFile(join(path, 'begun/model-asked'), '')
    return
  }
  const command = tell('model', 'model-asked')
  const toolCalls = [{ id: 'call-1', name: 'bash', args: { command } }]
  const isAnswered = asked.includes('"role":"tool"')
  answerWith(chatAnswer(isAnswered ? { text: 'done' } : { toolCalls }))(response, request)
}

async function runJob(folder: string, provider: ProviderName, options: RunOptions): Promise<JobSummary> {
  const taskset = await Taskset.load(join(home.folder, folder))
  const job = await taskset.run({
    provider,
    environment: home.environment,
    imageMap: testImageMap,
    runtime: { mounts: [effects[provider].mount] },
    concurrency: 100,
    worker: 'shared',
    ...options,
  })
  try {
    return await job.result()
  } finally {
    await job.close()
  }
}

async function traceOf(job: string, rollout: string, task: string): Promise<Record<string, unknown>[]> {
  const store = openStore(home.environment.storeUrl)
  const text = (await store.get(traceKey(job, rollout)))?.toString() ?? ''
  const lines = text.replaceAll(task, 'TASK').replaceAll(job, 'JOB').trimEnd().split('\n')
  return lines.map((line) => JSON.parse(line))
}

/** What must not differ between two runs of the same rollout: all but times and where output is kept. */
function timeless(trace: readonly Record<string, unknown>[]) {
  // Commands are compared by what they do; their text differs by what they wait for. On local a dead worker's attachment
  // that has not ended yet counts as a process of the agent, so that the integrity may be said to be lower than it is.
  const changing = ['startedAt', 'finishedAt', 'durationMs', 'command', 'args', 'integrity']
  return trace.map((line) => Object.fromEntries(Object.entries(line).filter(([name]) => !changing.includes(name))))
}

let summaries: Record<string, JobSummary> = {}

test('all jobs end', async () => {
  for (let worker = 0; worker < workersAtOnce; worker += 1) await pool.start()
  const jobs = providers.flatMap((provider) => [
    { job: provider, folder: 'tasks', provider, options: { agent: 'script' } },
    { job: `${provider}-calm`, folder: 'calm', provider, options: { agent: 'script' } },
    {
      job: `${provider}-model`,
      folder: 'model',
      provider,
      options: { agent: { agent: 'model', model: 'openai/a-model', args: { system: `provider ${provider}` } } },
    },
  ])
  const ended = await Promise.all(
    jobs.map(async ({ job, folder, provider, options }) => [job, await runJob(folder, provider, { job, ...options })]),
  )
  summaries = Object.fromEntries(ended)
})

describe.each(providers)('%s', (provider) => {
  test.each([...names, 'model-asked'])('%s: its worker was killed there', (name) => {
    expect(existsSync(join(effects[provider].path, 'killed', name))).toBe(true)
  })

  test.each(names)('%s: graded like the undisturbed one', async (name) => {
    const [result] = await readResults(openStore(home.environment.storeUrl), provider, [`${name}.script.1`])
    expect(result).toMatchObject({ state: 'graded', rewards: { reward: 0.3 }, incarnations: 1 })
    const calm = await traceOf(`${provider}-calm`, 'undisturbed.script.1', undisturbed)
    expect(calm.filter(({ type }) => type === 'turn')).toHaveLength(4)
    const trace = await traceOf(provider, `${name}.script.1`, name)
    expect(timeless(trace)).toEqual(timeless(calm))
  })

  test.each(names)('%s: every effect once, in one machine, by one process', async (name) => {
    const lines = (await effects[provider].lines(name)).map((line) => line.split(' '))
    expect(lines.map(([what]) => what)).toEqual(['one', 'begin', 'end', 'three', 'tests'])
    expect(new Set(lines.map((line) => line.slice(-3).join(' '))).size).toBe(1)
    const [begin, end] = lines.slice(1, 3).map((line) => line.slice(1))
    expect(end).toEqual(begin)
  })

  test('model-asked: asked again, counted, and acted on once', async () => {
    expect(summaries[`${provider}-model`]).toMatchObject({ graded: 1 })
    const trace = await traceOf(`${provider}-model`, 'model-asked.model-openai-a-model.1', 'model-asked')
    expect(trace.find(({ type }) => type === 'turn')).toMatchObject({ turn: 0, usage: { unrecordedCalls: 1 } })
    expect((await effects[provider].lines('model-asked')).filter((line) => line.startsWith('model'))).toHaveLength(1)
  })
})

test('nothing is left', async () => {
  await pool.close()
  const { calls } = connectToDocker(dockerConnection(process.env['DOCKER_HOST']))
  const mine = { label: ['rollcall.job'] }
  const containers = await calls.listContainers({ all: true, filters: mine })
  const jobs = providers.flatMap((provider) => [provider, `${provider}-calm`, `${provider}-model`])
  expect(containers.filter(({ Mounts }) => Mounts.some(({ Source }) => Source.startsWith(home.folder)))).toEqual([])
  expect(jobs).toHaveLength(6)
  const left = await processesNaming(home.folder)
  expect(left.filter(({ command }) => !command.includes('start-dev'))).toEqual([])
})
