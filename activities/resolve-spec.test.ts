import { expect, test } from 'vitest'
import type { Agent } from '../agents/agent.ts'
import type { JobOptions } from '../protocol/job.ts'
import { layRuntime } from '../protocol/runtime-config.ts'
import type { RuntimeConfig } from '../protocol/runtime-config.ts'
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

function resolve(runtime: RuntimeConfig) {
  return resolveSpec({ task, agent, options: jobOptions({ runtime }) })
}

/** One layer of each kind, by its name. */
function layered(layers: Partial<Record<'provider' | 'taskset' | 'task' | 'own' | 'job', RuntimeConfig>>) {
  const options: Partial<JobOptions> = {
    provider: { name: 'local', options: {}, runtime: layers.provider ?? {} },
    tasksetRuntime: layers.taskset ?? {},
    runtime: layers.job ?? {},
  }
  const { env = {}, resources = {} } = layers.task ?? {}
  const bare = { ...task.runtime, image: { type: 'default' as const }, limits: {} }
  const runtime = { ...bare, env: env as Record<string, string>, resources: resources as Task['runtime']['resources'] }
  const ownRuntime = layers.own ?? {}
  return resolveSpec({ task: { ...task, runtime, ownRuntime }, agent, options: jobOptions(options) })
}

test('each layer goes over the one before: provider, taskset, task.toml, rollcall.yaml, job', () => {
  const names = ['provider', 'taskset', 'task', 'own', 'job'] as const
  const said = names.map((name, at) => {
    const env = Object.fromEntries(names.slice(0, names.length - at).map((_, index) => [`V${index}`, name]))
    return [name, { env }] as const
  })
  // V0 is said by all layers, V1 by all but the highest, and so on: each variable shows the highest that says it.
  expect(layered(Object.fromEntries(said)).env).toEqual({
    V0: 'job',
    V1: 'own',
    V2: 'task',
    V3: 'taskset',
    V4: 'provider',
  })
})

test('tables are laid field by field, lists as a whole, and null clears whatever lies below', () => {
  const spec = layered({
    provider: {
      resources: { cpus: 1, memoryMiB: 1, gpus: { count: 2, types: ['a'] } },
      secrets: ['A', 'B'],
      user: 'p',
    },
    taskset: { resources: { cpus: 2 }, limits: { lifetimeMs: 7_000 }, mounts: [] },
    task: { resources: { memoryMiB: 3 } },
    own: { resources: { gpus: { count: 1 } }, secrets: ['C'], env: null },
    job: { resources: { memoryMiB: null }, limits: null, user: null },
  })
  expect(spec.resources).toEqual({ cpus: 2, gpus: { count: 1 } })
  expect(spec.secrets).toEqual(['C'])
  expect(spec.limits.lifetimeMs).toBe(24 * 3_600_000)
  expect(spec.user).toBeUndefined()
})

test('the image of a layer above replaces a Dockerfile, one of a layer below only fills in', () => {
  const below = { provider: { image: 'base' } }
  expect(layered(below).image).toEqual({ type: 'name', name: 'base' })
  const options = jobOptions({ tasksetRuntime: { image: 'base' } })
  expect(resolveSpec({ task, agent, options }).image).toEqual({ type: 'name', name: 'debian' })
  expect(resolve({ image: 'mine' }).image).toEqual({ type: 'name', name: 'mine' })
  expect(resolve({ image: null }).image).toEqual({ type: 'default' })
})

test('a variable with a value of the host is a secret by its own name, and the template is the order', () => {
  const spec = resolve({ env: { KEY: '${TOKEN}' }, secrets: ['S'] })
  expect(spec).toMatchObject({ env: { A: 'task', B: 'task' }, secrets: ['S', 'KEY'], hostEnv: { KEY: '${TOKEN}' } })
})

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

test('a task without a network keeps it that way, whatever lies below; one that states none takes what does', () => {
  const below = jobOptions({ tasksetRuntime: { network: 'public' } })
  const closed = { ...task, runtime: { ...task.runtime, network: { mode: 'none' as const } } }
  expect(resolveSpec({ task: closed, agent, options: below }).network).toEqual({ mode: 'none' })
  const options = jobOptions({ tasksetRuntime: { network: 'none' } })
  expect(resolveSpec({ task, agent, options }).network).toEqual({ mode: 'none' })
})

test('an allowlist takes the place of a mode, and of another list', () => {
  const lists = { taskset: { network: { allowlist: ['a'] } }, job: { network: { allowlist: ['b'] } } }
  expect(layered(lists).network).toEqual({ mode: 'allowlist', hosts: ['b'] })
  expect(layRuntime({ network: 'public' }, lists.job)).toEqual(lists.job)
})

test('what a layer leaves out, also in so many words, is the layer’s below', () => {
  const silent: object = { user: undefined, resources: { cpus: undefined } }
  expect(layRuntime({ user: 'a', resources: { cpus: 1 } }, silent)).toEqual({ user: 'a', resources: { cpus: 1 } })
})

test('the Dockerfile beside an image is built only where the image is to be passed over', () => {
  const dockerfile = { type: 'dockerfile' as const, contentHash: 'h', context: 'environment' }
  const both = { ...task, runtime: { ...task.runtime, dockerfile } } as unknown as Task
  const imageOf = (options: Partial<JobOptions>) =>
    resolveSpec({ task: both, agent, options: jobOptions(options) }).image
  expect(imageOf({})).toEqual({ type: 'name', name: 'debian' })
  expect(imageOf({ ignoreDockerImage: true })).toEqual(dockerfile)
  expect(resolveSpec({ task, agent, options: jobOptions({ ignoreDockerImage: true }) }).image).toEqual(
    task.runtime.image,
  )
})

test('the agent’s own user goes before the sandbox’s', () => {
  const both = { ...task, runtime: { ...task.runtime, user: 'somebody' } }
  expect(resolveSpec({ task: both, agent, options: jobOptions() }).user).toBe('worker')
})

test('a network that the job asks for is asked for', () => {
  expect(resolve({ network: 'none' })).toMatchObject({ network: { mode: 'none' }, networkAsked: true })
})

test('a sandbox lives a day, or as long as its rollout may take, or as long as it is told', () => {
  const hours = (count: number) => count * 3_600_000
  const lifetimeOf = (agentTimeoutMs: number, runtime: RuntimeConfig = {}) => {
    const slow = { ...task, agent: { timeoutMs: agentTimeoutMs }, verifier: { ...task.verifier, timeoutMs: hours(2) } }
    return resolveSpec({ task: slow, agent, options: jobOptions({ runtime, gradingAttempts: 2 }) }).limits.lifetimeMs
  }
  expect(lifetimeOf(hours(1))).toBe(hours(24))
  expect(lifetimeOf(hours(36))).toBe(hours(36 + 2 * 2 + 1))
  expect(lifetimeOf(1e17)).toBe(hours(365 * 24))
  expect(lifetimeOf(hours(36), { limits: { lifetimeMs: hours(3) } })).toBe(hours(3))
})
