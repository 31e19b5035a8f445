import { mkdtemp, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { expect, test } from 'vitest'
import type { SandboxSpec } from '../contract/runtime.ts'
import { checkSpec } from './daytona-check.ts'

const plain: SandboxSpec = {
  image: { type: 'default' },
  imageMap: {},
  resources: {},
  limits: { acquireTimeoutMs: 1, startTimeoutMs: 1, execTimeoutMs: 1, lifetimeMs: 1 },
  network: { mode: 'public' },
  networkAsked: false,
  env: {},
  secrets: [],
  mounts: [],
}

const fieldsOf = async (spec: Partial<SandboxSpec>, ignoreLimits = false) =>
  (await checkSpec({ ...plain, ...spec }, { ignoreLimits })).map(({ field }) => field)

test.each<[Partial<SandboxSpec>, string[]]>([
  [{ resources: { cpus: 2, memoryMiB: 4096, storageMiB: 10_240, gpus: { count: 1, types: ['H100'] } } }, []],
  [{ resources: { cpus: 0.5, memoryMiB: 500 } }, ['resources.cpus', 'resources.memoryMiB']],
  [{ resources: { gpus: { count: 9, types: ['A100'] } } }, ['resources.gpus', 'resources.gpus.types']],
  [{ image: { type: 'name', name: 'snapshot:x' }, resources: { cpus: 1 } }, ['resources.cpus']],
  [{ network: { mode: 'allowlist', hosts: ['pypi.org', '*.x.org', '10.0.0.0/8', 'localhost'] } }, []],
  [{ network: { mode: 'allowlist', hosts: ['https://pypi.org'] } }, ['network']],
  [{ network: { mode: 'allowlist', hosts: [] } }, ['network']],
  [{ mounts: [{ source: '/a', target: '/b', readOnly: true }] }, ['mounts[0]']],
  [{ workdir: '/.rollcall/bin' }, ['workdir']],
  [{ env: { '1A': '' }, secrets: ['A-B'] }, ['env', 'secrets']],
  [{ image: { type: 'name', name: 'a b' } }, ['image']],
])('%j has problems with %j', async (spec, fields) => {
  expect(await fieldsOf(spec)).toEqual(fields)
})

test('a limit on processes is refused unless limits are to be ignored', async () => {
  expect(await fieldsOf({ resources: { pids: 100 } })).toEqual(['resources.pids'])
  expect(await fieldsOf({ resources: { pids: 100 } }, true)).toEqual([])
})

test('what the SDK would leave out of a build is refused by line', async () => {
  const directory = await mkdtemp(join(tmpdir(), 'rollcall-daytona-check-'))
  await writeFile(join(directory, 'Dockerfile'), 'FROM x\nADD a /a\nADD https://example.com/b /b\n')
  await writeFile(join(directory, '.dockerignore'), 'a\n')
  const image = { type: 'dockerfile', directory, contentHash: 'x' } as const
  expect(await fieldsOf({ image })).toEqual(['environment/Dockerfile:2', 'environment/.dockerignore'])
  await rm(directory, { recursive: true })
})
