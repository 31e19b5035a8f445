import { mkdir, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { expect, test } from 'vitest'
import { temporaryFolder } from '../../testing/temporary-folder.ts'
import type { SandboxSpec } from '../contract/runtime.ts'
import { checkSpec } from './modal-check.ts'
import { modalSettings } from './modal-settings.ts'

const hourMs = 3_600_000
const spec: SandboxSpec = {
  image: { type: 'default' },
  imageMap: { 'python:3.12-slim': 'mirror/python:3.12-slim' },
  resources: {},
  limits: { acquireTimeoutMs: 1, startTimeoutMs: 1, execTimeoutMs: 1, lifetimeMs: 24 * hourMs },
  network: { mode: 'public' },
  networkAsked: true,
  env: {},
  secrets: [],
  mounts: [],
}

async function fieldsOf(change: Partial<SandboxSpec>, options: Readonly<Record<string, string>> = {}) {
  const settings = modalSettings(options, { MODAL_TOKEN_ID: 'a', MODAL_TOKEN_SECRET: 'b' })
  return (await checkSpec({ ...spec, ...change }, settings)).map(({ field }) => field)
}

test('what Modal has is no problem', async () => {
  const resources = { cpus: 64, memoryMiB: 128, gpus: { count: 8, types: ['H100'] } }
  const limits = { ...spec.limits, idleTimeoutMs: hourMs }
  const network = { mode: 'allowlist', hosts: ['*.pypi.org', '10.0.0.0/8', '2001:db8::/32'] } as const
  expect(await fieldsOf({ resources, limits, network, user: 'nobody', workdir: '/app' })).toEqual([])
})

test('what it does not have is refused by name', async () => {
  const mounts = [{ source: '/data', target: '/data', readOnly: true }]
  const limits = { ...spec.limits, lifetimeMs: 25 * hourMs }
  const change = {
    mounts,
    limits,
    workdir: '/.rollcall/x',
    secrets: ['not-a-name'],
    resources: { pids: 1, storageMiB: 1 },
  }
  expect(await fieldsOf(change)).toEqual([
    'resources.storageMiB',
    'resources.pids',
    'limits.lifetimeMs',
    'mounts[0]',
    'workdir',
    'secrets',
  ])
  expect(await fieldsOf({ resources: { storageMiB: 1 } }, { limits: 'ignore' })).toEqual([])
})

test('a GPU needs a type that Modal has, from the task or the setting, and no more of them than go into one', async () => {
  const gpus = (count: number, types?: string[]) => ({ resources: { gpus: { count, ...(types && { types }) } } })
  expect(await fieldsOf(gpus(1))).toEqual(['resources.gpus.types'])
  expect(await fieldsOf(gpus(1), { gpu: 'L4' })).toEqual([])
  expect(await fieldsOf(gpus(1, ['V100']))).toEqual(['resources.gpus.types'])
  expect(await fieldsOf(gpus(5, ['A10']))).toEqual(['resources.gpus.count'])
  expect(await fieldsOf(gpus(0, ['V100']))).toEqual([])
})

test('lines of a Dockerfile that the builder is not known to take are refused, all at once', async () => {
  const directory = join(await temporaryFolder('modal-check'), 'environment')
  await mkdir(directory)
  await writeFile(join(directory, 'there.txt'), '')
  const lines = [
    'FROM python:3.12-slim AS build',
    'COPY there.txt /',
    'COPY --from=other /x /y',
    'COPY missing.txt /',
    'ADD https://example.com/x.tar.gz /',
    'RUN --mount=type=cache,target=/c true',
    'RUN cat <<EOF',
    'x',
    'EOF',
    'VOLUME /data',
    'FROM scratch',
  ]
  await writeFile(join(directory, 'Dockerfile'), lines.join('\n'))
  const image = { type: 'dockerfile', directory, contentHash: 'x' } as const
  expect(await fieldsOf({ image })).toEqual([3, 4, 5, 6, 7, 10, 11].map((line) => `environment/Dockerfile:${line}`))
  expect(await fieldsOf({ image: { ...image, directory: '/nowhere' } })).toEqual(['image'])
})
