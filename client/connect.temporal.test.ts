import { mkdtemp, rm } from 'node:fs/promises'
import { createServer } from 'node:net'
import { once } from 'node:events'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { defineSearchAttributeKey, SearchAttributeType, TypedSearchAttributes } from '@temporalio/common'
import { msToTs } from '@temporalio/common/lib/time.js'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { cacheDirectory } from '../protocol/directories.ts'
import { connectTemporal, namespaceUuid, workflowUrl } from './connect.ts'
import type { TemporalConnection } from './connect.ts'
import { ensureSearchAttributes } from './search-attributes.ts'
import { stopServer } from './server/server.ts'

let stateDirectory: string
let embedded: TemporalConnection

const connect = (env: Record<string, string> = {}) =>
  connectTemporal({
    stateDirectory,
    cacheDirectory: cacheDirectory(process.env),
    env: { ...process.env, ...env },
    onProgress: () => undefined,
  })

beforeAll(async () => {
  stateDirectory = await mkdtemp(join(tmpdir(), 'rollcall-connect-'))
  embedded = await connect()
})

afterAll(async () => {
  await embedded.close()
  await stopServer({ stateDirectory, onProgress: () => undefined })
  await rm(stateDirectory, { recursive: true, force: true })
})

test('without a configured server the embedded one is started and used', async () => {
  expect(embedded).toMatchObject({ embedded: true, namespace: 'default' })
  const link = workflowUrl(embedded.uiUrl ?? '', embedded.namespace, 'nightly/7')
  expect(link).toBe(`${embedded.uiUrl}/namespaces/default/workflows/nightly%2F7`)
  expect((await fetch(link)).status).toBe(200)
})

test('a configured server is used under its own address and known by the same namespace id', async () => {
  const configured = await connect({ TEMPORAL_ADDRESS: embedded.address })
  try {
    expect(configured).toMatchObject({ embedded: false, address: embedded.address })
    expect(await namespaceUuid(configured.client)).toBe(await namespaceUuid(embedded.client))
  } finally {
    await configured.close()
  }
})

test('a port where nobody listens is named within seconds', async () => {
  const startedAt = Date.now()
  await expect(connect({ TEMPORAL_ADDRESS: '127.0.0.1:1' })).rejects.toMatchObject({
    code: 'configuration-invalid',
    message: expect.stringMatching(/No Temporal server answers at 127\.0\.0\.1:1 \(connect ECONNREFUSED/) as string,
  })
  expect(Date.now() - startedAt).toBeLessThan(8_000)
})

test('a server that speaks something else is told from one that is not there', async () => {
  const mute = createServer().listen(0, '127.0.0.1')
  await once(mute, 'listening')
  const address = mute.address()
  const port = address === null || typeof address === 'string' ? 0 : address.port
  await expect(connect({ TEMPORAL_ADDRESS: `127.0.0.1:${port}` })).rejects.toThrow(/does not speak this protocol/)
  mute.close()
})

test('an unknown namespace is named with the command that creates it', async () => {
  const pending = connect({ TEMPORAL_ADDRESS: embedded.address, TEMPORAL_NAMESPACE: 'nowhere' })
  await expect(pending).rejects.toThrow(/has no namespace nowhere: .*temporal operator namespace create .*-n nowhere/)
})

test('search attributes that two clients register at the same time are usable at once', async () => {
  const clients = await Promise.all([connect(), connect()])
  const missing = await Promise.all(clients.map(({ connection }) => ensureSearchAttributes(connection, 'default')))
  expect(missing).toEqual([[], []])
  await Promise.all(clients.map((client) => client.close()))
  await startWithSearchAttributes('attributed')
})

test('a name that is taken with another type is an error that names both types', async () => {
  const { operatorService, workflowService } = embedded.connection
  await workflowService.registerNamespace({
    namespace: 'clash',
    workflowExecutionRetentionPeriod: msToTs('1 day'),
  })
  await expect
    .poll(() =>
      operatorService
        .addSearchAttributes({ namespace: 'clash', searchAttributes: { RollcallJob: 4 } })
        .then(() => 'done', String),
    )
    .toBe('done')
  await expect
    .poll(() => ensureSearchAttributes(embedded.connection, 'clash').then(() => 'registered', String))
    .toMatch(/RollcallJob of namespace clash has type INDEXED_VALUE_TYPE_DOUBLE, not Keyword/)
})

async function startWithSearchAttributes(workflowId: string): Promise<void> {
  const job = defineSearchAttributeKey('RollcallJob', SearchAttributeType.KEYWORD)
  const reward = defineSearchAttributeKey('RollcallReward', SearchAttributeType.DOUBLE)
  await embedded.client.workflow.start('nobody', {
    taskQueue: 'nobody',
    workflowId,
    typedSearchAttributes: new TypedSearchAttributes([
      { key: job, value: 'a-job' },
      { key: reward, value: 0.5 },
    ]),
  })
}
