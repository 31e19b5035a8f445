import { expect, test, vi } from 'vitest'
import { jobOptions } from '../protocol/job-options-fixture.ts'
import { rolloutResult } from '../results/fixtures/rollout-result.ts'
import { createFileStore } from '../store/file-store.ts'
import { jobKey, planKey, resultKey } from '../store/keys.ts'
import { failing, scriptedActivities } from '../testing/scripted-activities.ts'
import { temporaryFolder } from '../testing/temporary-folder.ts'
import { useTemporal } from '../testing/temporal.ts'
import type { jobWorkflow } from '../workflows/job.ts'
import { statusQuery } from '../workflows/messages.ts'
import type { TemporalConnection } from './connect.ts'
import { missingWorker, runningStep } from './hindrance.ts'
import { liveJob } from './job.ts'
import { LiveJob } from './live-job.ts'

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

const environment = {
  env: {},
  stateDirectory: '/nowhere',
  cacheDirectory: '/nowhere',
  storeUrl: 'file:///nowhere',
  workingDirectory: '/nowhere',
}

test('a job whose workers are dead is still told from its store and the server', async () => {
  const store = createFileStore(await temporaryFolder('dead'))
  const put = (key: string, value: unknown) => store.putOnce(key, Buffer.from(JSON.stringify(value)))
  const rollouts = ['a', 'b', 'c'].map((task) => ({ name: `${task}.oracle.1`, task, agent: 'oracle', attempt: 1 }))
  await put(jobKey('dead'), jobOptions({ concurrency: 7 }))
  await put(planKey('dead'), { rollouts })
  await put(resultKey('dead', 'a.oracle.1'), { ...rolloutResult({ task: 'a', rewards: { reward: 1 } }), job: 'dead' })
  const handle = await startJob('dead', 'rollcall-dead')
  // What its job would have started; another job's name may begin like it.
  for (const workflowId of ['dead.b.oracle.1', 'dead.er.oracle.1']) {
    await connection().client.workflow.start('rolloutWorkflow', { workflowId, taskQueue: 'rollcall-dead' })
  }
  const temporalNow = connection()
  const job = liveJob({
    id: 'dead',
    store,
    worker: undefined,
    attached: true,
    temporal: temporalNow,
    environment,
    onProgress: () => {},
  })
  const soFar = { state: 'running', total: 3, graded: 1, rewardSum: 1, running: 1, concurrency: 7 }
  await expect.poll(() => job.progress()).toMatchObject({ status: soFar, running: [{ rollout: 'b.oracle.1' }] })
  await handle.terminate()
  await expect(job.pause()).rejects.toThrow('Job dead is over: expected a running job')
  expect(await job.status()).toMatchObject({ state: 'failed', total: 3, graded: 1 })
  await job.close()
})

test('a worker that answers nothing is waited for, as one that is away', async () => {
  const errors = [9, 4]
  const ask = async () => {
    const code = errors.pop()
    if (code !== undefined) throw Object.assign(new Error('no poller'), { code, details: '', metadata: {} })
    return 'answered'
  }
  const handle = await startJob('silent', 'rollcall-silent')
  const live = new LiveJob({
    id: 'silent',
    store: createFileStore('/nowhere'),
    temporal: connection(),
    worker: undefined,
    environment,
    onProgress: () => {},
  })
  expect(await live.persistently(ask)).toBe('answered')
  await handle.terminate()
  await live.close()
})

test('a job that no worker serves says so and can be cancelled; one that is over is left as it is', async () => {
  await startJob('unserved', 'rollcall')
  const said: string[] = []
  const at = { id: 'unserved', store: createFileStore('/nowhere'), worker: undefined, attached: true }
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
      expect(await missingWorker(connection(), { job: 'homeless', ownWorker: false })).toMatchObject({
        message: expect.stringContaining('none serves the task queue rollcall.somewhere: `rollcall worker`') as string,
        of: 'sandboxes',
      }),
    )
    await handle.terminate()
  })
})

test('a client that starts the job’s own worker does not miss it', async () => {
  const handle = await startJob('own', 'rollcall-own')
  const missing = (ownWorker: boolean) => missingWorker(connection(), { job: 'own', ownWorker })
  expect((await missing(false))?.message).toContain('`rollcall watch own` starts one')
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
