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
  verifier: { timeoutMs: 1, env: {} },
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

test('a sandbox lives a day, or as long as its rollout may take, or as long as it is told', () => {
  const hours = (count: number) => count * 3_600_000
  const lifetimeOf = (agentTimeoutMs: number, runtime: RuntimeOverrides = {}) => {
    const slow = { ...task, agent: { timeoutMs: agentTimeoutMs }, verifier: { timeoutMs: hours(2), env: {} } }
    return resolveSpec({ task: slow, agent, options: jobOptions({ runtime, gradingAttempts: 2 }) }).limits.lifetimeMs
  }
  expect(lifetimeOf(hours(1))).toBe(hours(24))
  expect(lifetimeOf(hours(36))).toBe(hours(36 + 2 * 2 + 1))
  expect(lifetimeOf(1e17)).toBe(hours(365 * 24))
  expect(lifetimeOf(hours(36), { limits: { lifetimeMs: hours(3) } })).toBe(hours(3))
})
