import { mkdtemp, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { expect, onTestFinished, test } from 'vitest'
import type { SandboxSpec } from '../contract/runtime.ts'
import { checkSpec } from './docker-check.ts'

const engine = { cpus: 2, memoryMiB: 4096, runtimes: ['runc'] }

const spec: SandboxSpec = {
  image: { type: 'default' },
  imageMap: {},
  resources: { cpus: 2, memoryMiB: 4096, pids: 100 },
  limits: { acquireTimeoutMs: 1, startTimeoutMs: 2, execTimeoutMs: 3, lifetimeMs: 4 },
  network: { mode: 'public' },
  networkAsked: false,
  env: { A_1: 'x' },
  secrets: ['TOKEN'],
  mounts: [{ source: '/data', target: '/data', readOnly: true }],
  workdir: '/app',
}

test('an order within the Engine’s means has no problems', async () => {
  expect(await checkSpec(spec, engine)).toEqual([])
})

test.each<[string, Partial<SandboxSpec>]>([
  ['resources.cpus', { resources: { cpus: 4 } }],
  ['resources.cpus', { resources: { cpus: 0 } }],
  ['resources.memoryMiB', { resources: { memoryMiB: 8192 } }],
  ['resources.memoryMiB', { resources: { memoryMiB: 4 } }],
  ['resources.storageMiB', { resources: { storageMiB: 1024 } }],
  ['resources.pids', { resources: { pids: 1 } }],
  ['resources.gpus', { resources: { gpus: { count: 1 } } }],
  ['network', { network: { mode: 'allowlist', hosts: ['pypi.org'] } }],
  ['mounts[0].source', { mounts: [{ source: 'data', target: '/data', readOnly: true }] }],
  ['mounts[0].target', { mounts: [{ source: '/data', target: 'data', readOnly: true }] }],
  ['mounts[0].target', { mounts: [{ source: '/data', target: '/.rollcall/journal', readOnly: true }] }],
  ['workdir', { workdir: 'app' }],
  ['env', { env: { 'A=B': '1' } }],
  ['secrets', { secrets: ['1X'] }],
  ['image', { image: { type: 'name', name: 'no such image' } }],
  ['image', { image: { type: 'dockerfile', directory: '/no/such', contentHash: 'x' } }],
])('%s that cannot be honoured is named, with its value and what is expected', async (field, change) => {
  const problems = await checkSpec({ ...spec, ...change }, engine)
  expect(problems).toEqual([{ field, value: expect.any(String), expected: expect.stringMatching(/\.$/) }])
})

test('GPUs are taken where the Engine has a runtime for them, but not by type', async () => {
  const withGpus = { ...engine, runtimes: ['runc', 'nvidia'] }
  expect(await checkSpec({ ...spec, resources: { gpus: { count: 1 } } }, withGpus)).toEqual([])
  const problems = await checkSpec({ ...spec, resources: { gpus: { count: 1, types: ['H100'] } } }, withGpus)
  expect(problems.map((problem) => problem.field)).toEqual(['resources.gpus.types'])
})

test('the storage that tasks of Harbor state is room that there must be', async () => {
  const order = { ...spec, resources: { storageMiB: 10_240 } }
  expect(await checkSpec(order, { ...engine, freeStorageMiB: 10_240 })).toEqual([])
  const [tooLittle] = await checkSpec(order, { ...engine, freeStorageMiB: 10_239 })
  expect(tooLittle?.expected).toMatch(/^at most 10239 MiB, .* --provider-arg limits=ignore/)
  const [unseen] = await checkSpec(order, engine)
  expect(unseen?.expected).toMatch(/cannot be seen; .* --provider-arg limits=ignore/)
  expect(await checkSpec(order, { ...engine, ignoreLimits: true })).toEqual([])
})

test('all problems of an order are reported at once', async () => {
  const problems = await checkSpec({ ...spec, workdir: 'x', resources: { cpus: 9, storageMiB: 1 } }, engine)
  expect(problems.map((problem) => problem.field)).toEqual(['resources.cpus', 'resources.storageMiB', 'workdir'])
})

test.each([
  ['ARG V=1\n# syntax\nFROM debian:$V AS a\n', undefined],
  ['from debian\n', undefined],
  ['', 'empty'],
  ['# nothing\n\n', 'empty'],
  ['# a task\nFROMM debian\nRUN true\n', 'FROMM debian'],
])('a Dockerfile of %j without a FROM line is named before anything is built', async (dockerfile, value) => {
  const directory = await mkdtemp(join(tmpdir(), 'rollcall-check-'))
  onTestFinished(() => rm(directory, { recursive: true }))
  await writeFile(join(directory, 'Dockerfile'), dockerfile)
  const problems = await checkSpec({ ...spec, image: { type: 'dockerfile', directory, contentHash: 'x' } }, engine)
  const expected = 'A FROM line; there is none.'
  expect(problems).toEqual(value === undefined ? [] : [{ field: 'environment/Dockerfile', value, expected }])
})
