import { expect, test, vi } from 'vitest'
import { createFileStore } from '../store/file-store.ts'
import { failing, scriptedActivities } from '../testing/scripted-activities.ts'
import { useTemporal } from '../testing/temporal.ts'
import type { jobWorkflow } from '../workflows/job.ts'
import { statusQuery } from '../workflows/messages.ts'
import type { TemporalConnection } from './connect.ts'
import { missingWorker, runningStep } from './hindrance.ts'
import { liveJob } from './job.ts'

const temporal = useTemporal()

function connection(): TemporalConnection {
  const { client, connection: open, address } = temporal.environment()
  return { client, connection: open, address, namespace: 'default', embedded: false, close: async () => {} }
}

async function startJob(job: string, taskQueue: string, memo?: Record<string, unknown>) {
  const input = { job, storeUrl: 'file:///nowhere', taskQueue, concurrency: 4, proofKey: 'p', searchable: false }
  return await connection().client.workflow.start<typeof jobWorkflow>('jobWorkflow', {
    workflowId: job,
    taskQueue,
    args: [input],
    ...(memo === undefined ? {} : { memo }),
  })
}

test('a job that no worker serves says so and can be cancelled; one that is over is left as it is', async () => {
  await startJob('unserved', 'rollcall')
  const said: string[] = []
  const at = { id: 'unserved', store: createFileStore('/nowhere'), worker: undefined, attached: true }
  const environment = {
    env: {},
    stateDirectory: '/nowhere',
    cacheDirectory: '/nowhere',
    storeUrl: 'file:///nowhere',
    workingDirectory: '/nowhere',
  }
  const job = liveJob({ ...at, temporal: connection(), environment, onProgress: (line) => said.push(line) })
  await vi.waitFor(() =>
    expect(said).toEqual([expect.stringContaining('none serves the task queue rollcall: `rollcall worker`')]),
  )
  expect(await job.cancel()).toBe(true)
  await connection().client.workflow.getHandle('unserved').terminate()
  expect(await job.cancel()).toBe(false)
  expect(await missingWorker(connection(), { job: 'unserved', ownWorker: false })).toBeUndefined()
})

test('a job whose provider no host has says so', async () => {
  const worker = await temporal.worker(
    scriptedActivities({ planJob: async () => failing('internal') }).activities,
    'rollcall',
  )
  await worker.runUntil(async () => {
    const handle = await startJob('homeless', 'rollcall', { provider: 'somewhere' })
    await vi.waitFor(async () =>
      expect(await missingWorker(connection(), { job: 'homeless', ownWorker: false })).toContain(
        'none serves the task queue rollcall.somewhere: `rollcall worker`',
      ),
    )
    await handle.terminate()
  })
})

test('a client that starts the job’s own worker does not miss it', async () => {
  const handle = await startJob('own', 'rollcall-own')
  const missing = (ownWorker: boolean) => missingWorker(connection(), { job: 'own', ownWorker })
  expect(await missing(false)).toContain('`rollcall watch own` starts one')
  expect(await missing(true)).toBeUndefined()
  await handle.terminate()
})

test('a step that is tried again is told with its attempt and the first line of its failure', async () => {
  const { activities } = scriptedActivities({
    openRollout: async () => failing('provider-unavailable', false),
  })
  const worker = await temporal.worker(activities, 'retries')
  await worker.runUntil(async () => {
    const handle = await startJob('retried', 'retries')
    const step = () => runningStep(connection().client, 'retried', 'task-0.oracle.1')
    const retried = { attempt: expect.any(Number) as number, message: 'scripted provider-unavailable' }
    const told = { phase: 'open', retried }
    await vi.waitFor(async () => expect(await step()).toEqual(told), { timeout: 20_000, interval: 100 })
    expect((await handle.query(statusQuery)).state).toBe('running')
    await handle.cancel()
    await handle.result().catch(() => undefined)
  })
  expect(await runningStep(connection().client, 'retried', 'task-1.oracle.1')).toBeUndefined()
  expect(await runningStep(connection().client, 'retried', 'task-0.oracle.1')).toBeUndefined()
})
