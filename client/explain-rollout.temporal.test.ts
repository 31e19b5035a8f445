import { Context } from '@temporalio/activity'
import { afterAll, expect, test } from 'vitest'
import { rolloutResult } from '../results/fixtures/rollout-result.ts'
import { jobOptions } from '../protocol/job-options-fixture.ts'
import { createFileStore } from '../store/file-store.ts'
import { jobKey, openedKey, resultKey, summaryKey } from '../store/keys.ts'
import type { Store } from '../store/store.ts'
import { failing, scriptedActivities } from '../testing/scripted-activities.ts'
import { temporaryFolder } from '../testing/temporary-folder.ts'
import { useTemporal } from '../testing/temporal.ts'
import type { jobWorkflow } from '../workflows/job.ts'
import { pauseUpdate } from '../workflows/messages.ts'
import type { TemporalConnection } from './connect.ts'
import { explainRollout } from './explain-rollout.ts'
import type { RolloutExplanation } from './explanation.ts'
import { runningStep } from './hindrance.ts'

const temporal = useTemporal()
const never = new AbortController()
afterAll(() => never.abort())

function connection(): TemporalConnection {
  const { client, connection: open, address } = temporal.environment()
  return { client, connection: open, address, namespace: 'default', embedded: false, close: async () => {} }
}

async function newStore(job: string): Promise<Store> {
  const store = createFileStore(await temporaryFolder('why'))
  await store.putOnce(jobKey(job), Buffer.from(JSON.stringify(jobOptions({}))))
  return store
}

const noServer = () => Promise.reject(new Error('the server is not to be asked'))

async function startJob(job: string, concurrency = 4) {
  const input = { job, storeUrl: 'file:///none', taskQueue: job, concurrency, proofKey: 'p', searchable: false }
  return await connection().client.workflow.start<typeof jobWorkflow>('jobWorkflow', {
    workflowId: job,
    taskQueue: job,
    args: [input],
  })
}

async function explain(store: Store, job: string, rollout = 'task-0.oracle.1'): Promise<RolloutExplanation> {
  return await explainRollout({ job, rollout }, { store, temporal: async () => connection() })
}

/** Stays in its activity until the file's tests are over. */
const stuck = () =>
  new Promise<never>((_, reject) => never.signal.addEventListener('abort', () => reject(new Error('over'))))

test('an opening that is tried again: attempt, last failure with its code, next attempt, and who made it', async () => {
  const { activities } = scriptedActivities({ openRollout: async () => failing('provider-unavailable', false) })
  const worker = await temporal.worker(activities, 'retrying')
  const store = await newStore('retrying')
  await worker.runUntil(async () => {
    const job = await startJob('retrying')
    await expect
      .poll(async () => (await explain(store, 'retrying')).retry?.attempt ?? 0, { timeout: 20_000 })
      .toBeGreaterThan(3)
    const explained = await explain(store, 'retrying')
    expect(explained).toMatchObject({
      state: 'running',
      phase: 'open',
      doing: 'the opening of its sandbox has failed and is tried again',
      retry: { failure: { code: 'provider-unavailable', message: 'scripted provider-unavailable' } },
      worker: { pid: process.pid },
    })
    const nextAt = Date.parse(explained.retry?.nextAt ?? '')
    expect(nextAt).toBeGreaterThan(Date.now() - 10_000)
    // It has waited since its first attempt: 0.2, 0.4 and 0.8 s and more lie between that and the next one.
    expect(nextAt - Date.parse(explained.since ?? '')).toBeGreaterThan(1_000)
    await job.terminate()
  })
})

test('an agent whose model is away: since when, why, and when the model is asked again', async () => {
  const atMs = Date.now() + 60_000
  const failure = { code: 'model-unavailable', message: 'Model m does not answer: HTTP 429' }
  const runTurns = async () => {
    const ticking = setInterval(
      () => Context.current().heartbeat({ execs: [], modelWait: { attempt: 7, failure, atMs } }),
      200,
    )
    return await Context.current().cancelled.finally(() => clearInterval(ticking))
  }
  const { activities } = scriptedActivities({ runTurns })
  const worker = await temporal.worker(activities, 'away')
  const store = await newStore('away')
  await worker.runUntil(async () => {
    const job = await startJob('away')
    await expect
      .poll(() => explain(store, 'away'), { timeout: 20_000 })
      .toMatchObject({
        doing: 'it waits for the model’s service, which is asked again',
        retry: { attempt: 7, failure, nextAt: new Date(atMs).toISOString() },
      })
    const told = { attempt: 7, message: failure.message }
    expect(await runningStep(connection().client, 'away', 'task-0.oracle.1')).toEqual({ phase: 'turns', retried: told })
    await job.terminate()
    await temporal.environment().client.workflow.getHandle('away.task-0.oracle.1').terminate()
  })
})

test('a busy provider is waited for, which is no failure', async () => {
  const { activities } = scriptedActivities({ openRollout: async () => failing('provider-busy', false) })
  const worker = await temporal.worker(activities, 'full')
  const store = await newStore('full')
  await worker.runUntil(async () => {
    const job = await startJob('full')
    await expect
      .poll(async () => (await explain(store, 'full')).doing, { timeout: 20_000 })
      .toContain('it waits for room at the provider')
    await job.terminate()
  })
})

test('a rollout that has not begun waits for others, for its paused job, or for a worker of its job', async () => {
  const { activities } = scriptedActivities({ rollouts: 2, openRollout: stuck })
  const worker = await temporal.worker(activities, 'window')
  const store = await newStore('window')
  const job = await startJob('window', 1)
  expect(await explain(store, 'window', 'task-1.oracle.1')).toMatchObject({
    state: 'waiting',
    unservedQueue: 'window',
    doing: 'it has not begun: no worker polls the queue window of its job',
  })
  await worker.runUntil(async () => {
    await expect
      .poll(async () => (await explain(store, 'window', 'task-1.oracle.1')).doing, { timeout: 20_000 })
      .toContain('1 of at most 1 rollouts run')
    await job.executeUpdate(pauseUpdate)
    expect((await explain(store, 'window', 'task-1.oracle.1')).doing).toContain('its job is paused')
    await job.terminate()
    await temporal.environment().client.workflow.getHandle('window.task-0.oracle.1').terminate()
    never.abort()
  })
  expect(await explain(store, 'window')).toMatchObject({
    state: 'lost',
    doing: expect.stringContaining('terminated') as string,
  })
  expect(await explain(store, 'window', 'task-1.oracle.1')).toMatchObject({ state: 'lost' })
})

test('one that has ended is told from the store alone, also when the server has forgotten it', async () => {
  const store = await newStore('old')
  const at = { job: 'old', rollout: 'a.oracle.1' }
  const failure = { code: 'reward-missing', message: 'The tests ended without writing a reward' } as const
  const result = { ...rolloutResult({ task: 'a', failure }), job: 'old' }
  const lease = { provider: 'docker', place: 'engine', sandbox: 'rc-a', incarnation: 2, spec: 's' }
  await store.putOnce(resultKey(at.job, at.rollout), Buffer.from(JSON.stringify(result)))
  await store.putOnce(openedKey({ ...at, incarnation: 2 }), Buffer.from(JSON.stringify({ opened: { lease } })))
  await store.putOnce(summaryKey('old'), Buffer.from('{}'))
  expect(await explainRollout(at, { store, temporal: noServer })).toMatchObject({
    id: 'old.a.oracle.1',
    state: 'failed',
    sandbox: { name: 'rc-a', incarnation: 2 },
    ended: {
      at: result.finishedAt,
      failure: { ...failure, actor: 'grader' },
      trace: 'jobs/old/rollouts/a.oracle.1/trace.jsonl',
    },
  })
})

test('one whose job nobody knows any longer is lost, not running', async () => {
  const store = await newStore('forgotten')
  expect(await explain(store, 'forgotten')).toMatchObject({
    state: 'lost',
    doing: expect.stringContaining('does not know') as string,
  })
})
