import { execFile, spawn } from 'node:child_process'
import type { ChildProcess } from 'node:child_process'
import { once } from 'node:events'
import { mkdtemp, open, readdir, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { promisify } from 'node:util'
import type { Client } from '@temporalio/client'
import { msToTs } from '@temporalio/common/lib/time.js'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { z } from 'zod'
import { connectTemporal } from '../client/connect.ts'
import type { TemporalConnection } from '../client/connect.ts'
import { ensureSearchAttributes, searchAttributeTypes } from '../client/search-attributes.ts'
import { lastLines } from '../client/server/launch.ts'
import { cacheDirectory } from '../protocol/directories.ts'
import { sharedTaskQueue } from '../protocol/names.ts'
import { readComposeServices } from '../scripts/compose-services.ts'
import type { ComposeServices } from '../scripts/compose-services.ts'
import { startPostgres } from '../scripts/postgres.ts'
import type { Postgres } from '../scripts/postgres.ts'
import {
  buildServerPrograms,
  createNamespace,
  createSchema,
  startProductionServer,
} from '../scripts/production-server.ts'
import type { ProductionServer, ServerPrograms } from '../scripts/production-server.ts'

const run = promisify(execFile)
const root = join(import.meta.dirname, '..')
const tasks = join(root, 'examples/tasks')
const job = 'on-postgres'

let folder: string
let compose: ComposeServices
let programs: ServerPrograms
let postgres: Postgres
let server: ProductionServer
let temporal: TemporalConnection
const workers: ChildProcess[] = []

const say = (line: string) => console.log(line)
const environment = () => ({
  ...process.env,
  TEMPORAL_ADDRESS: server.address,
  ROLLCALL_STATE_DIR: join(folder, 'state'),
})

beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), 'rollcall-postgres-job-'))
  compose = await readComposeServices()
  programs = await buildServerPrograms({
    version: compose.serverVersion,
    cacheDirectory: cacheDirectory(process.env),
    onProgress: say,
  })
  const { POSTGRES_USER: user = '', POSTGRES_PWD: password = '' } = compose.serverEnvironment
  postgres = await startPostgres({ user, password, serverArguments: compose.postgresArguments })
  await createSchema({ programs, compose, postgres })
  const logFile = join(folder, 'server.log')
  server = await startProductionServer({ programs, compose, postgres, logFile })
  await createNamespace(server.address, compose, cacheDirectory(process.env))
  temporal = await connectTemporal({
    env: { TEMPORAL_ADDRESS: server.address },
    stateDirectory: join(folder, 'state'),
    cacheDirectory: cacheDirectory(process.env),
    onProgress: say,
  })
}, 40 * 60_000)

afterAll(async () => {
  for (const worker of workers) worker.kill('SIGTERM')
  await Promise.all(workers.map(async (worker) => worker.exitCode ?? worker.signalCode ?? (await once(worker, 'exit'))))
  await temporal?.close()
  await server?.stop()
  await postgres?.stop()
  await rm(folder, { recursive: true, force: true })
}, 120_000)

test('the schema and namespace jobs of the compose file can run again on what they made', async () => {
  await createSchema({ programs, compose, postgres })
  await createNamespace(server.address, compose, cacheDirectory(process.env))
  const { workflowService } = temporal.client
  const { config } = await workflowService.describeNamespace({ namespace: 'default' })
  expect(`${Number(config?.workflowExecutionRetentionTtl?.seconds) / 3_600}h`).toBe(
    compose.namespaceEnvironment['RETENTION'],
  )
  expect(await registeredAttributes()).toEqual(Object.keys(searchAttributeTypes).toSorted())
})

test('the server accepts every key of the dynamic configuration', async () => {
  const file = join(root, 'deploy/dynamic-config.yaml')
  const { stdout } = await run(programs.server, ['validate-dynamic-config', file])
  expect(stdout.trim()).toBe(file)
})

test('in a namespace without them the client registers the search attributes and they are usable at once', async () => {
  const namespace = 'made-by-client'
  const workflowExecutionRetentionPeriod = msToTs('1 day')
  await temporal.client.workflowService.registerNamespace({ namespace, workflowExecutionRetentionPeriod })
  await expect
    .poll(() => ensureSearchAttributes(temporal.connection, namespace).catch(String), { timeout: 60_000 })
    .toEqual([])
  const query = "RollcallJob = 'none' AND RollcallReward > 0.5"
  expect(await temporal.client.workflowService.countWorkflowExecutions({ namespace, query })).toBeDefined()
})

test('a job runs on two workers that `rollcall worker` started', async () => {
  await Promise.all([startWorker('first'), startWorker('second')])
  await expect.poll(pollers, { timeout: 90_000 }).toHaveLength(2)
  const summary = await runJob()
  const names = await readdir(tasks)
  expect(summary).toMatchObject({ type: 'summary', job, mean: 1, graded: names.length * 2, failed: 0 })
  const started = workers.map(({ pid }) => String(pid)).toSorted()
  expect(await workersThatWorked()).toEqual(started)
  const rollouts = temporal.client.workflow.list({ query: `RollcallJob = '${job}' AND RollcallReward = 1` })
  expect((await Array.fromAsync(rollouts)).length).toBe(names.length * 2)
})

async function registeredAttributes(): Promise<string[]> {
  const { customAttributes } = await temporal.connection.operatorService.listSearchAttributes({ namespace: 'default' })
  return Object.keys(customAttributes)
    .filter((name) => name.startsWith('Rollcall'))
    .toSorted()
}

async function startWorker(name: string): Promise<void> {
  const log = await open(join(folder, `${name}.log`), 'w')
  const args = [join(root, 'cli/main.ts'), 'worker']
  workers.push(spawn(process.execPath, args, { env: environment(), stdio: ['ignore', log.fd, log.fd] }))
  await log.close()
}

async function pollers(): Promise<string[]> {
  for (const name of ['first', 'second']) {
    if (workers.some(({ exitCode }) => exitCode !== null)) throw new Error(await lastLines(join(folder, `${name}.log`)))
  }
  const taskQueue = { name: sharedTaskQueue }
  const { pollers: found } = await temporal.client.workflowService.describeTaskQueue({
    namespace: 'default',
    taskQueue,
    taskQueueType: 1,
  })
  return [...new Set(found?.map(({ identity }) => identity ?? ''))]
}

async function runJob(): Promise<unknown> {
  const options = ['--provider', 'local', '--agent', 'oracle', '-k', '2', '-n', '4', '--job', job]
  const output = ['--no-worker', '--json', '--jobs-dir', join(folder, 'jobs')]
  const args = [join(root, 'cli/main.ts'), 'run', tasks, ...options, ...output]
  const { stdout } = await run(process.execPath, args, { env: environment(), maxBuffer: 64 * 1024 * 1024 })
  return JSON.parse(stdout.trim().split('\n').at(-1) ?? '')
}

/** Pids of the workers that history names as having started something of this job. */
async function workersThatWorked(): Promise<string[]> {
  const pids = new Set<string>()
  for await (const { workflowId } of temporal.client.workflow.list({ query: `RollcallJob = '${job}'` })) {
    for (const identity of await identities(temporal.client, workflowId))
      pids.add(/\d+/.exec(identity)?.[0] ?? identity)
  }
  return [...pids].toSorted()
}

async function identities(client: Client, workflowId: string): Promise<string[]> {
  const { events } = await client.workflow.getHandle(workflowId).fetchHistory()
  const schema = z.looseObject({ identity: z.string().min(1) })
  return (events ?? []).flatMap((event) => {
    const attributes = event.activityTaskStartedEventAttributes ?? event.workflowTaskStartedEventAttributes
    const parsed = schema.safeParse(attributes)
    return parsed.success ? [parsed.data.identity] : []
  })
}
