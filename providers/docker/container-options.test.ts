import { expect, test } from 'vitest'
import type { CreateRequest } from '../contract/provider.ts'
import type { SandboxSpec } from '../contract/runtime.ts'
import { containerOptions } from './container-options.ts'

const spec: SandboxSpec = {
  image: { type: 'default' },
  imageMap: {},
  resources: {},
  limits: { acquireTimeoutMs: 1, startTimeoutMs: 2, execTimeoutMs: 3, lifetimeMs: 4000 },
  network: { mode: 'none' },
  networkAsked: false,
  env: { A: 'a', TOKEN: 'from env' },
  secrets: [],
  mounts: [],
}

const image = { id: 'sha256:0', command: ['bash'], workdir: '/image', user: 'agent' }

function optionsOf(overrides: Partial<SandboxSpec>, secrets: Record<string, string> = {}) {
  const ownership: CreateRequest['ownership'] = {
    namespace: 'n',
    job: 'j',
    workflow: 'w',
    role: 'main',
    incarnation: 1,
    owner: 'o',
    spec: 's',
    keep: 'never',
    expires: 1,
  }
  return containerOptions({ name: 'x', spec: { ...spec, ...overrides }, ownership, secrets }, image)
}

test('the container is made from the image’s id, as root below an init', () => {
  expect(optionsOf({})).toMatchObject({ name: 'x', Image: 'sha256:0', User: '0', HostConfig: { Init: true } })
})

test('limits that are not stated are not set, except that of processes', () => {
  const { HostConfig } = optionsOf({})
  expect(HostConfig?.PidsLimit).toBe(4096)
  for (const key of ['Memory', 'MemorySwap', 'NanoCpus', 'DeviceRequests'] as const) {
    expect(HostConfig).not.toHaveProperty(key)
  }
})

test('a program gains another user’s rights unless the order says that none may', () => {
  expect(optionsOf({}).HostConfig).not.toHaveProperty('SecurityOpt')
  expect(optionsOf({ noNewPrivileges: true }).HostConfig?.SecurityOpt).toEqual(['no-new-privileges'])
})

test('GPUs are asked of the nvidia driver; none asked means none', () => {
  expect(optionsOf({ resources: { gpus: { count: 2 } } }).HostConfig).toMatchObject({
    DeviceRequests: [{ Driver: 'nvidia', Count: 2, Capabilities: [['gpu']] }],
  })
  expect(optionsOf({ resources: { gpus: { count: 0 } } }).HostConfig).not.toHaveProperty('DeviceRequests')
})

test('the working directory and user are the order’s, else the image’s', () => {
  expect(optionsOf({})).toMatchObject({
    WorkingDir: '/image',
    Labels: { 'rollcall.workdir': '/image', 'rollcall.user': 'agent' },
  })
  expect(optionsOf({ workdir: '/order', user: 'root' })).toMatchObject({
    WorkingDir: '/order',
    Labels: { 'rollcall.workdir': '/order', 'rollcall.user': 'root' },
  })
})

test('secrets are in the environment, after the order’s, and in no label', () => {
  const options = optionsOf({ secrets: ['TOKEN'] }, { TOKEN: 'hush', OTHER: 'not asked for' })
  expect(options.Env?.slice(0, 3)).toEqual(['A=a', 'TOKEN=from env', 'TOKEN=hush'])
  expect(JSON.stringify(options.Labels)).not.toContain('hush')
})

test('the main process’s program is in the environment, which it clears, and in no argument', () => {
  const options = optionsOf({})
  expect(options.Env?.at(-1)).toMatch(/^_rollcall=unset _rollcall\n/)
  expect(JSON.stringify(options.Entrypoint)).not.toContain('sleep')
})

test('a secret without a value is missing', () => {
  expect(() => optionsOf({ secrets: ['TOKEN'] })).toThrow(/Secret TOKEN/)
})
