import { expect, test } from 'vitest'
import { AgentCollector } from './agent-options.ts'
import { parseRunOptions } from './run-options.ts'
import type { RawRunOptions } from './run-options.ts'

const defaults: RawRunOptions = {}

test('what the command line does not say is left to the job file and to defaults', () => {
  expect(parseRunOptions(defaults)).toEqual({})
  expect(new AgentCollector().options()).toBeUndefined()
})

test('every option arrives in the unit that Taskset.run wants', () => {
  const raw: RawRunOptions = {
    provider: 'local',
    providerArg: ['limits=ignore'],
    localNetwork: true,
    unsafeLocal: true,
    attempts: '3',
    concurrency: '9',
    job: 'nightly-7',
    imageMap: ['python:3.12=mirror/python:3.12'],
    cpus: '0.5',
    memory: '1G',
    maxTurns: '7',
    maxTokens: '1000',
    agentTimeout: '2m',
    sandboxLoss: 'restart',
    keep: 'on-failure',
    worker: false,
  }
  expect(parseRunOptions(raw, { agents: ['nop'] })).toEqual({
    agents: ['nop'],
    provider: { name: 'local', options: { limits: 'ignore', network: 'true', unsafe: 'true' } },
    attempts: 3,
    concurrency: 9,
    job: 'nightly-7',
    imageMap: { 'python:3.12': 'mirror/python:3.12' },
    runtime: { resources: { cpus: 0.5, memoryMiB: 1024 } },
    maxTurns: 7,
    maxTokens: 1000,
    agentTimeoutMs: 120_000,
    sandboxLoss: { policy: 'restart' },
    keep: 'on-failure',
    worker: 'shared',
  })
})

test.each([
  [{ localNetwork: true }, '--provider is "docker": expected local together with --local-network'],
  [{ unsafeLocal: true }, '--provider is "docker": expected local together with --unsafe-local'],
  [{ provider: 'dokcer' }, '--provider is "dokcer": expected one of '],
  [{ job: '../up' }, 'Job id is "../up": expected letters'],
  [{ imageMap: ['a=b', 'debian= mirror/debian'] }, '--image-map is "debian= mirror/debian": expected FROM=TO'],
  [{ imageMap: ['debian='] }, '--image-map is "debian=": expected FROM=TO'],
])('%j is refused', (change, message) => {
  expect(() => parseRunOptions({ ...defaults, ...change }, { agents: ['oracle'] })).toThrow(message)
})

test('arguments and models belong to the agent before them', () => {
  const agents = new AgentCollector()
  agents.addAgent('script')
  agents.addArgument('file=turns.yaml')
  agents.addAgent('model')
  agents.setModel('openai/a')
  agents.setLabel('big')
  agents.addArgument('temperature=0')
  agents.addAgent('nop')
  expect(agents.options()).toEqual([
    { agent: 'script', args: { file: 'turns.yaml' } },
    { agent: 'model', model: 'openai/a', label: 'big', args: { temperature: '0' } },
    { agent: 'nop' },
  ])
})

test('what comes before the first agent belongs to it, and a model alone means the agent model', () => {
  const before = new AgentCollector()
  before.addArgument('file=turns.yaml')
  before.addAgent('script')
  expect(before.options()).toEqual([{ agent: 'script', args: { file: 'turns.yaml' } }])
  const alone = new AgentCollector()
  alone.setModel('openai/a')
  expect(alone.options()).toEqual([{ agent: 'model', model: 'openai/a' }])
})

test('a second model for one agent is refused', () => {
  const agents = new AgentCollector()
  agents.setModel('openai/a')
  expect(() => agents.setModel('openai/b')).toThrow('--model is "openai/b": expected one per --agent')
})

test('selection, runtime and consent arrive as a job file has them', () => {
  const raw: RawRunOptions = {
    include: ['a-*'],
    where: ['tag=x', 'tag=y', 'level=3'],
    shuffle: true,
    seed: '7',
    limit: '2',
    gpus: '0',
    image: 'debian:12',
    allowEnv: ['TOKEN'],
  }
  expect(parseRunOptions(raw)).toEqual({
    include: ['a-*'],
    where: { tag: ['x', 'y'], level: ['3'] },
    shuffle: true,
    seed: 7,
    limit: 2,
    runtime: { image: 'debian:12', resources: { gpus: { count: 0 } } },
    allowEnv: ['TOKEN'],
  })
  expect(parseRunOptions({ yes: true, allowEnv: ['A'] })).toEqual({ allowEnv: 'all' })
  expect(() => parseRunOptions({ allowEnv: ['A=1'] })).toThrow('--allow-env is "A=1": expected the name of a variable')
  expect(() => parseRunOptions({ where: ['tag'] })).toThrow('--where is "tag": expected KEY=VALUE')
})

test('time limits are multiplied by phase; a Dockerfile may be built though the task names an image', () => {
  const multipliers = { timeoutMultiplier: '2', agentTimeoutMultiplier: '0.5', environmentBuildTimeoutMultiplier: '3' }
  const raw = { ...defaults, ...multipliers, verifierTimeoutMultiplier: '4', agentSetupTimeoutMultiplier: '1' }
  expect(parseRunOptions({ ...raw, ignoreDockerImage: true })).toMatchObject({
    timeoutMultipliers: { all: 2, agent: 0.5, verifier: 4, agentSetup: 1, environmentBuild: 3 },
    ignoreDockerImage: true,
  })
  expect(() => parseRunOptions({ ...defaults, agentTimeoutMultiplier: '0' })).toThrow(
    '--agent-timeout-multiplier is "0": expected a number above 0 and at most 1000, for instance 2 or 0.5',
  )
})
