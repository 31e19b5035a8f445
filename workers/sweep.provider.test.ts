import { randomUUID } from 'node:crypto'
import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { Client, Connection } from '@temporalio/client'
import { afterAll, afterEach, beforeAll, describe, expect, test } from 'vitest'
import { namespaceUuid } from '../client/connect.ts'
import { openDockerFixture } from '../providers/docker/testing/docker-fixture.ts'
import type { DockerFixture } from '../providers/docker/testing/docker-fixture.ts'
import type { FoundSandbox, Ownership, Provider } from '../providers/contract/provider.ts'
import { createLocalProvider } from '../providers/local/local-provider.ts'
import { makeRequest } from '../providers/host-sandbox/sandbox-fixture.ts'
import { failing, policy, scriptedActivities } from '../testing/scripted-activities.ts'
import { useTemporal } from '../testing/temporal.ts'
import type { rolloutWorkflow } from '../workflows/rollout.ts'
import { sweepRegularly } from './sweep-regularly.ts'
import { sweepJob, sweepPlace } from './sweep.ts'
import type { SweptSandbox } from './sweep.ts'

const temporal = useTemporal()
const hourMs = 3_600_000
/** By which everything that a test has just made is old enough. */
const inAWhile = () => Date.now() + 3 * 60_000

let docker: DockerFixture
let folder = ''
let providers: Record<string, Provider> = {}
let made: { provider: Provider; name: string }[] = []

beforeAll(async () => {
  docker = await openDockerFixture()
  folder = await mkdtemp(join(tmpdir(), 'rollcall-sweep-'))
  providers = { docker: docker.provider, local: createLocalProvider({ stateDirectory: folder }) }
})

afterEach(async () => {
  await Promise.all(made.map(({ provider, name }) => provider.destroy(name)))
  made = []
})

afterAll(async () => {
  await docker.dispose()
  await rm(folder, { recursive: true, force: true })
})

/** Each test has a job of its own: others use the same Engine at the same time, and nobody's clock is to be moved there. */
function newJob(): string {
  return `sweep-${randomUUID().slice(0, 8)}`
}

async function makeSandbox(provider: Provider, labels: Partial<Ownership> & { job: string }): Promise<string> {
  const request = provider.name === 'docker' ? docker.makeRequest() : makeRequest()
  const namespace = await namespaceUuid(temporal.environment().client)
  const workflow = `${labels.job}.t.oracle.1`
  const ownership = { ...request.ownership, namespace, workflow, expires: Date.now() + hourMs, ...labels }
  made.push({ provider, name: request.name })
  await provider.createOrAdopt({ ...request, ownership })
  return request.name
}

/** A rollout that no worker serves: it runs as far as the server knows. */
async function startRollout(job: string, taskQueue = 'nobody') {
  return await temporal.environment().client.workflow.start<typeof rolloutWorkflow>('rolloutWorkflow', {
    workflowId: `${job}.t.oracle.1`,
    taskQueue,
    args: [{ job, storeUrl: 'file:///none', rollout: 't.oracle.1', policy, searchable: false }],
  })
}

async function sweep(
  provider: Provider,
  job: string,
  options: { nowMs?: number; takeKept?: boolean; dryRun?: boolean } = {},
): Promise<SweptSandbox[]> {
  const { nowMs = inAWhile(), takeKept = false, dryRun = false } = options
  const { client } = temporal.environment()
  return await sweepPlace({ client, provider, labels: { job }, policy: { nowMs, takeKept }, dryRun, log: () => {} })
}

const stateOf = async (provider: Provider, name: string): Promise<FoundSandbox['state'] | undefined> =>
  (await provider.find(name))?.state

describe.each(['local', 'docker'])('%s', (kind) => {
  const provider = () => providers[kind] ?? docker.provider

  test('what a terminated rollout has left goes when it is old enough, and not while the rollout runs', async () => {
    const job = newJob()
    const rollout = await startRollout(job)
    const name = await makeSandbox(provider(), { job })
    expect(await sweep(provider(), job)).toMatchObject([{ name, action: 'left', because: 'its rollout runs' }])
    await rollout.terminate()
    expect(await sweep(provider(), job, { nowMs: Date.now() })).toMatchObject([{ name, action: 'left' }])
    expect(await sweep(provider(), job, { dryRun: true })).toMatchObject([{ name, action: 'removed' }])
    expect(await stateOf(provider(), name)).toBe('running')
    expect(await sweep(provider(), job)).toMatchObject([
      { name, action: 'removed', because: 'its rollout is over', provider: kind },
    ])
    expect(await stateOf(provider(), name)).toBeUndefined()
    expect(await sweep(provider(), job)).toEqual([])
  })

  test('a sandbox of another namespace stays until it expires', async () => {
    const job = newJob()
    const name = await makeSandbox(provider(), { job, namespace: randomUUID() })
    expect(await sweep(provider(), job)).toMatchObject([{ action: 'left', because: 'it is of another namespace' }])
    expect(await stateOf(provider(), name)).toBe('running')
    expect(await sweep(provider(), job, { nowMs: Date.now() + 2 * hourMs })).toMatchObject([{ action: 'removed' }])
    expect(await stateOf(provider(), name)).toBeUndefined()
  })

  test('a kept one stays until it expires, or until somebody asks for those that are kept', async () => {
    const job = newJob()
    const [kept, other] = [
      await makeSandbox(provider(), { job, keep: 'always' }),
      await makeSandbox(provider(), { job, keep: 'on-failure', expires: Date.now() + 3 * hourMs }),
    ]
    const byName = async (options: Parameters<typeof sweep>[2]) =>
      Object.fromEntries((await sweep(provider(), job, options)).map(({ name, action }) => [name, action]))
    expect(await byName({})).toEqual({ [kept]: 'left', [other]: 'left' })
    expect(await byName({ nowMs: Date.now() + 2 * hourMs })).toEqual({ [kept]: 'removed', [other]: 'left' })
    expect(await byName({ takeKept: true })).toEqual({ [other]: 'removed' })
  })

  test('a worker that ends with its job takes all of it at once, except what is kept', async () => {
    const job = newJob()
    const { client } = temporal.environment()
    const rollout = await startRollout(job)
    const name = await makeSandbox(provider(), { job })
    const kept = await makeSandbox(provider(), { job, keep: 'always' })
    await rollout.terminate()
    const sweepIt = () => sweepJob({ job, client, provider: provider(), log: () => {} })
    expect([await sweepIt(), await sweepIt()]).toEqual([1, 0])
    expect([await stateOf(provider(), name), await stateOf(provider(), kept)]).toEqual([undefined, 'running'])
  })
})

test('the sandbox of an earlier incarnation goes while its rollout lives on in another, known without a worker', async () => {
  const [job, provider] = [newJob(), docker.provider]
  const { activities, calls } = scriptedActivities({
    openRollout: ({ incarnation }) =>
      incarnation === 1 ? failing('sandbox-lost') : failing('provider-unavailable', false),
  })
  const { client } = temporal.environment()
  const worker = await temporal.worker(activities, job)
  const restarting = { ...policy, sandboxLoss: { policy: 'restart' as const, maxIncarnations: 3, hostLostMs: 120_000 } }
  await worker.runUntil(async () => {
    await client.workflow.start<typeof rolloutWorkflow>('rolloutWorkflow', {
      workflowId: `${job}.t.oracle.1`,
      taskQueue: job,
      args: [{ job, storeUrl: 'file:///none', rollout: 't.oracle.1', policy: restarting, searchable: false }],
    })
    await expect.poll(() => calls.length).toBeGreaterThan(1)
  })
  const [first, second] = [
    await makeSandbox(provider, { job, incarnation: 1 }),
    await makeSandbox(provider, { job, incarnation: 2 }),
  ]
  const swept = await sweep(provider, job)
  expect(Object.fromEntries(swept.map(({ name, action }) => [name, action]))).toEqual({
    [first]: 'removed',
    [second]: 'left',
  })
  await client.workflow.getHandle(`${job}.t.oracle.1`).terminate()
})

test('a worker sweeps its place when it starts, of whatever job, and says once what it cannot reach', async () => {
  const [job, provider] = [newJob(), providers['local'] ?? docker.provider]
  const rollout = await startRollout(job)
  const name = await makeSandbox(provider, { job })
  await rollout.terminate()
  const stop = new AbortController()
  const said: string[] = []
  const away: Provider = { ...provider, list: () => Promise.reject(new Error('no Engine answers')) }
  const sweeping = sweepRegularly({
    client: temporal.environment().client,
    providers: { provider: async (kind) => (kind === 'docker' ? away : provider), close: async () => {} },
    storeUrl: 'file:///none',
    log: (line) => said.push(line),
    stop: stop.signal,
    now: inAWhile,
  })
  await expect.poll(() => said.length).toBe(2)
  stop.abort()
  await sweeping
  expect(said.toSorted()).toEqual([
    'not swept: no Engine answers',
    `removing ${name} of ${job}.t.oracle.1: its rollout is over`,
  ])
  expect(await stateOf(provider, name)).toBeUndefined()
})

test('a shared worker also sweeps where rollouts were placed by settings, and passes over what is nowhere without any', async () => {
  const [job, provider] = [newJob(), providers['local'] ?? docker.provider]
  const rollout = await startRollout(job)
  const name = await makeSandbox(provider, { job })
  await rollout.terminate()
  const stop = new AbortController()
  const [said, asked]: [string[], unknown[]] = [[], []]
  const box = { name: 'ssh', options: { host: 'box' } }
  const sweeping = sweepRegularly({
    client: temporal.environment().client,
    providers: {
      provider: async (kind, options) => {
        asked.push({ name: kind, options })
        return provider
      },
      close: async () => {},
    },
    providerNames: ['ssh'],
    reached: () => Promise.resolve([box]),
    storeUrl: 'file:///none',
    log: (line) => said.push(line),
    stop: stop.signal,
    now: inAWhile,
  })
  await expect.poll(() => said).toEqual([`removing ${name} of ${job}.t.oracle.1: its rollout is over`])
  stop.abort()
  await sweeping
  expect(asked).toEqual([box])
  expect(await stateOf(provider, name)).toBeUndefined()
})

test('a container of another tool is never touched, whatever its name', async () => {
  const job = newJob()
  const name = `rc-${job}-t-oracle-1-0123456789abcdef`
  const foreign = await docker.docker.createContainer({ name, Image: 'rollcall-test/busybox:latest' })
  try {
    expect(await sweep(docker.provider, job, { nowMs: Date.now() + 1_000 * hourMs })).toEqual([])
    const { client } = temporal.environment()
    await sweepPlace({ client, provider: docker.provider, policy: { nowMs: Date.now() }, dryRun: true, log: () => {} })
    await docker.provider.destroy(name)
    expect((await foreign.inspect()).Id).toBe(foreign.id)
  } finally {
    await foreign.remove({ force: true })
  }
})

test('one that cannot be removed does not stop the others', async () => {
  const [job, provider] = [newJob(), docker.provider]
  const [stuck, other] = [await makeSandbox(provider, { job }), await makeSandbox(provider, { job })]
  const failingOnce: Provider = {
    ...provider,
    destroy: (name) => (name === stuck ? Promise.reject(new Error('busy')) : provider.destroy(name)),
  }
  const swept = await sweep(failingOnce, job)
  expect(swept.find(({ name }) => name === stuck)).toMatchObject({ action: 'failed', because: 'busy' })
  expect(await stateOf(provider, stuck)).toBe('running')
  expect(await stateOf(provider, other)).toBeUndefined()
})

test('one that somebody has replaced between the look and the removal stays', async () => {
  const [job, provider] = [newJob(), docker.provider]
  const name = await makeSandbox(provider, { job })
  const replaced: Provider = {
    ...provider,
    find: async (asked) => {
      const found = await provider.find(asked)
      return found && { ...found, id: 'another', ownership: { ...found.ownership, owner: randomUUID() } }
    },
  }
  expect(await sweep(replaced, job)).toMatchObject([{ name, action: 'left' }])
  expect(await stateOf(provider, name)).toBe('running')
})

test('a server that falls silent in the middle is an error, and nothing goes', async () => {
  const [job, provider] = [newJob(), docker.provider]
  const name = await makeSandbox(provider, { job })
  const away = { describe: () => Promise.reject(new Error('the server is away')) }
  const { connection } = temporal.environment()
  const client = new Client({ connection, interceptors: { workflow: [away] } })
  const sweeping = sweepPlace({
    client,
    provider,
    labels: { job },
    policy: { nowMs: inAWhile() },
    log: () => {},
  })
  await expect(sweeping).rejects.toThrow('the server is away')
  expect(await stateOf(provider, name)).toBe('running')
})

test('without the server’s word nothing goes', async () => {
  const [job, provider] = [newJob(), docker.provider]
  const name = await makeSandbox(provider, { job })
  const connection = Connection.lazy({ address: '127.0.0.1:1' })
  const client = new Client({ connection })
  const sweeping = connection.withDeadline(Date.now() + 2_000, () =>
    sweepPlace({ client, provider, labels: { job }, policy: { nowMs: inAWhile() }, log: () => {} }),
  )
  await expect(sweeping).rejects.toThrow()
  await connection.close()
  expect(await stateOf(provider, name)).toBe('running')
})
