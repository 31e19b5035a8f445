import { expect, test } from 'vitest'
import type { Agent } from '../agents/agent.ts'
import type { RuntimeOverrides } from '../protocol/job.ts'
import { jobOptions } from '../protocol/job-options-fixture.ts'
import type { Task } from '../tasks/task.ts'
import { resolveSpec } from './resolve-spec.ts'

const task: Task = {
  name: 't',
  checksum: 'c',
  directory: '/nowhere',
  instruction: 'do',
  runtime: {
    image: { type: 'name', name: 'debian' },
    resources: { cpus: 2, memoryMiB: 512 },
    limits: { startTimeoutMs: 1_000 },
    network: { mode: 'public' },
    networkAsked: false,
    env: { A: 'task', B: 'task' },
    mounts: [],
    workdir: '/task',
  },
  agent: { user: 'worker' },
  verifier: { timeoutMs: 1, env: {}, mode: 'shared', collect: [] },
  steps: [],
  rewardStrategy: 'mean',
  artifacts: [],
  solution: { env: {} },
  metadata: {},
  files: [],
}
const agent: Agent = { name: 'a', next: async () => ({ done: true }) }

function resolve(runtime: RuntimeOverrides) {
  return resolveSpec({ task, agent, options: jobOptions({ runtime }) })
}

test('what nobody overrides is the task’s, and what the task leaves open is the default', () => {
  const spec = resolve({})
  expect(spec.resources).toEqual({ cpus: 2, memoryMiB: 512 })
  expect(spec.limits).toMatchObject({ startTimeoutMs: 1_000, execTimeoutMs: 600_000 })
  expect(spec).toMatchObject({ user: 'worker', workdir: '/task', networkAsked: false })
})

test('overrides go field by field', () => {
  const spec = resolve({ resources: { memoryMiB: 64 }, env: { B: 'job', C: 'job' }, limits: { execTimeoutMs: 5 } })
  expect(spec.resources).toEqual({ cpus: 2, memoryMiB: 64 })
  expect(spec.env).toEqual({ A: 'task', B: 'job', C: 'job' })
  expect(spec.limits).toMatchObject({ startTimeoutMs: 1_000, execTimeoutMs: 5 })
})

test('null clears what the task says', () => {
  const spec = resolve({ resources: { cpus: null }, env: { A: null }, user: null, workdir: null })
  expect(spec.resources).toEqual({ memoryMiB: 512 })
  expect(spec.env).toEqual({ B: 'task' })
  expect(spec).not.toHaveProperty('user')
  expect(spec).not.toHaveProperty('workdir')
})

test('a network that the job asks for is asked for', () => {
  expect(resolve({ network: 'none' })).toMatchObject({ network: { mode: 'none' }, networkAsked: true })
})
