import { expect, test } from 'vitest'
import type { SandboxSpec } from './runtime.ts'
import { specHash } from './spec-hash.ts'

const spec: SandboxSpec = {
  image: { type: 'dockerfile', directory: '/a/environment', contentHash: 'c0ffee' },
  imageMap: { 'python:3.12-slim': 'mirror/python:3.12-slim', debian: 'mirror/debian' },
  resources: { cpus: 1, memoryMiB: 512 },
  limits: { acquireTimeoutMs: 1, startTimeoutMs: 2, execTimeoutMs: 3, lifetimeMs: 4 },
  network: { mode: 'none' },
  networkAsked: false,
  env: { A: '1', B: '2' },
  secrets: ['X', 'Y'],
  mounts: [],
}

test('a spec hash is 64 hexadecimal digits', () => {
  expect(specHash(spec)).toMatch(/^[0-9a-f]{64}$/)
})

test('neither the order of keys nor that of secrets is identity', () => {
  const reordered: SandboxSpec = {
    mounts: [],
    secrets: ['Y', 'X'],
    env: { B: '2', A: '1' },
    networkAsked: false,
    network: { mode: 'none' },
    limits: spec.limits,
    resources: { memoryMiB: 512, cpus: 1 },
    imageMap: { debian: 'mirror/debian', 'python:3.12-slim': 'mirror/python:3.12-slim' },
    image: spec.image,
  }
  expect(specHash(reordered)).toBe(specHash(spec))
})

test('the directory of a build context is not identity, its content is', () => {
  const elsewhere = { type: 'dockerfile', directory: '/b', contentHash: 'c0ffee' } as const
  expect(specHash({ ...spec, image: elsewhere })).toBe(specHash(spec))
  expect(specHash({ ...spec, image: { ...elsewhere, contentHash: 'decaf' } })).not.toBe(specHash(spec))
})

test('how long a caller waits is not identity', () => {
  const patient = { acquireTimeoutMs: 10, startTimeoutMs: 20, execTimeoutMs: 30, lifetimeMs: 4 }
  expect(specHash({ ...spec, limits: patient })).toBe(specHash(spec))
})

test.each<[string, Partial<SandboxSpec>]>([
  ['imageMap', { imageMap: {} }],
  ['resources', { resources: { cpus: 2, memoryMiB: 512 } }],
  ['lifetimeMs', { limits: { ...spec.limits, lifetimeMs: 5 } }],
  ['network', { network: { mode: 'public' } }],
  ['env', { env: { A: '1', B: '3' } }],
  ['secrets', { secrets: ['X'] }],
  ['mounts', { mounts: [{ source: '/a', target: '/b', readOnly: true }] }],
  ['user', { user: 'nobody' }],
  ['workdir', { workdir: '/app' }],
  ['layerScript', { layerScript: 'true' }],
])('%s is identity', (_field, change) => {
  expect(specHash({ ...spec, ...change })).not.toBe(specHash(spec))
})
