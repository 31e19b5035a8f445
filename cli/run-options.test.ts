import { expect, test } from 'vitest'
import { AgentCollector } from './agent-options.ts'
import { parseRunOptions } from './run-options.ts'
import type { RawRunOptions } from './run-options.ts'

const defaults: RawRunOptions = {
  provider: 'docker',
  providerArg: [],
  attempts: '1',
  concurrency: '4',
  imageMap: [],
  worker: true,
}

test('without options a job runs oracle on docker, four at a time, with a worker of its own', () => {
  expect(parseRunOptions(defaults, new AgentCollector().options())).toEqual({
    agent: ['oracle'],
    provider: { name: 'docker', options: {} },
    attempts: 1,
    concurrency: 4,
    imageMap: {},
    worker: 'own',
  })
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
  expect(parseRunOptions(raw, ['nop'])).toEqual({
    agent: ['nop'],
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
  [{ hostTimeout: '3m' }, '--host-timeout is "3m": expected --no-worker with it'],
  [{ imageMap: ['a=b', 'debian= mirror/debian'] }, '--image-map is "debian= mirror/debian": expected FROM=TO'],
  [{ imageMap: ['debian='] }, '--image-map is "debian=": expected FROM=TO'],
])('%j is refused', (change, message) => {
  expect(() => parseRunOptions({ ...defaults, ...change }, ['oracle'])).toThrow(message)
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
