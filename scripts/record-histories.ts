/**
 * Records the histories that `workflows/replay.test.ts` replays: `node scripts/record-histories.ts`, or
 * only those that are named. Run it in the same
 * commit as a change that is guarded by a patch id; histories of earlier versions stay, named by version.
 */
import { mkdir, writeFile } from 'node:fs/promises'
import { fileURLToPath } from 'node:url'
import { Context } from '@temporalio/activity'
import { historyToJSON } from '@temporalio/common/lib/proto-utils.js'
import { PoolClient } from '../client/sandboxes/pool-client.ts'
import { providerTaskQueue, sharedTaskQueue } from '../protocol/names.ts'
import { profileSchema } from '../protocol/pool.ts'
import { policy, failing, scriptedActivities } from '../testing/scripted-activities.ts'
import { createWorker, startServer } from '../testing/temporal.ts'

const version = 'v1'
const folder = fileURLToPath(new URL('../workflows/histories/', import.meta.url))

type Script = Parameters<typeof scriptedActivities>[0]

const rolloutInput = { job: 'j', storeUrl: 'file:///none', rollout: 'task-0.oracle.1', policy, searchable: false }
const jobInput = (job: string, taskQueue: string) => ({
  job,
  storeUrl: 'file:///none',
  taskQueue,
  concurrency: 2,
  proofKey: 'proof',
  searchable: false,
})

const restart = {
  ...policy,
  gradingAttempts: 2,
  sandboxLoss: { policy: 'restart' as const, maxIncarnations: 2, hostLostMs: 120_000 },
}

const poolProfile = profileSchema.parse({
  name: 'recorded',
  provider: { name: 'fake' },
  slotsPerSandbox: 2,
  maxSandboxes: 1,
})

let lost = false
let ungraded = false
let handedOver = false

/** Every shape of history that must keep replaying. */
const recordings: {
  name: string
  workflow: string
  script: Script
  args: (id: string) => unknown[]
  cancelWhen?: string
  alsoServed?: readonly string[]
  /** What is asked of it before its end. */
  drive?: (id: string) => Promise<void>
}[] = [
  { name: 'rollout-happy', workflow: 'rolloutWorkflow', script: {}, args: () => [rolloutInput] },
  {
    name: 'rollout-placed',
    workflow: 'rolloutWorkflow',
    script: { placeRollout: async () => ({ place: 'here', queue: 'rollout-placed' }) },
    args: () => [{ ...rolloutInput, sharedProvider: 'fake' }],
    alsoServed: [providerTaskQueue('fake')],
  },
  {
    name: 'rollout-retried',
    workflow: 'rolloutWorkflow',
    script: {
      runTurns: async ({ turn }) => {
        if (!handedOver) return { handedOver: (handedOver = true) }
        return lost ? { turn: turn + 1, end: 'done' as const } : ((lost = true), failing('sandbox-lost'))
      },
      gradeRollout: async () => {
        if (ungraded) return { rewards: { reward: 1 }, integrity: 'clean' as const }
        ungraded = true
        return failing('reward-missing')
      },
    },
    args: () => [{ ...rolloutInput, policy: restart }],
  },
  {
    name: 'rollout-cancelled',
    workflow: 'rolloutWorkflow',
    script: { runTurns: untilCancelled },
    args: () => [rolloutInput],
    cancelWhen: 'runTurns',
  },
  {
    name: 'rollout-continued-as-new',
    workflow: 'rolloutWorkflow',
    script: {
      runTurns: async ({ turn }) => (turn > 12 ? { turn: turn + 1, end: 'done' as const } : { turn: turn + 1 }),
    },
    args: () => [rolloutInput],
  },
  {
    name: 'rollout-steps',
    workflow: 'rolloutWorkflow',
    script: {
      openRollout: async ({ rollout, incarnation, verifier }) => {
        const sandbox = `${rollout}-${incarnation}-${verifier?.phase ?? 'main'}`
        const limits = { agentTimeoutMs: 60_000, verifierTimeoutMs: 60_000 }
        return {
          lease: { provider: 'fake', place: 'here', sandbox, incarnation, spec: 'spec' },
          ...limits,
          steps: [
            { name: 'one', ...limits, minReward: { reward: 1 } },
            { name: 'two', ...limits, separate: true },
          ],
          rewardStrategy: 'mean' as const,
        }
      },
    },
    args: () => [rolloutInput],
  },
  { name: 'job-happy', workflow: 'jobWorkflow', script: { rollouts: 3 }, args: (id) => [jobInput(id, id)] },
  {
    name: 'job-sharded',
    workflow: 'jobWorkflow',
    script: { rollouts: 5 },
    args: (id) => [{ ...jobInput(id, id), shardSize: 2 }],
  },
  {
    name: 'job-cancelled',
    workflow: 'jobWorkflow',
    script: { rollouts: 2, runTurns: untilCancelled },
    args: (id) => [jobInput(id, id)],
    cancelWhen: 'runTurns',
  },
  {
    name: 'nightly-happy',
    workflow: 'nightlyWorkflow',
    script: { rollouts: 1, placeRollout: async () => ({ place: 'here', queue: sharedTaskQueue }) },
    args: (schedule) => [{ schedule, config: 'config', storeUrl: 'file:///none', searchable: false }],
    alsoServed: [sharedTaskQueue, providerTaskQueue('fake')],
  },
  {
    name: 'pool',
    workflow: 'poolWorkflow',
    script: {
      placePoolSandbox: async () => ({ place: 'here', queue: 'pool' }),
      resetSlots: async ({ reset }) => (reset === 3 ? failing('sandbox-lost') : undefined),
    },
    args: () => [{ profile: poolProfile }],
    alsoServed: [providerTaskQueue('fake')],
    drive: drivePool,
  },
]

/** Two holders of two slots, one who waits for one of them, files that are kept, a slot that cannot be reset. */
async function drivePool(id: string): Promise<void> {
  const pool = new PoolClient({ client: environment.client, id })
  const [first, second] = await Promise.all([pool.acquire('a'), pool.acquire('b')])
  const third = pool.acquire('c')
  await environment.sleep(500)
  await pool.release(first)
  await pool.renew([second, await third])
  await pool.release(second, { reset: false })
  await pool.release(await third)
  await pool.release(await pool.acquire('d'))
  await pool.release(await pool.acquire('e'), { suspect: true })
  const last = await pool.acquire('f')
  await pool.resize({ maxSandboxes: 2 })
  const ending = pool.stop()
  await pool.release(last)
  await ending
}

async function untilCancelled(): Promise<never> {
  const context = Context.current()
  const ticking = setInterval(() => context.heartbeat(), 200)
  return await context.cancelled.finally(() => clearInterval(ticking))
}

const environment = await startServer({ 'limit.historyCount.suggestContinueAsNew': '40' })
await mkdir(folder, { recursive: true })
const only = process.argv.slice(2)
for (const recording of recordings) {
  if (only.length === 0 || only.includes(recording.name)) await record(recording)
}
await environment.teardown()

async function record({
  name,
  workflow,
  script,
  args,
  cancelWhen,
  alsoServed = [],
  drive,
}: (typeof recordings)[number]) {
  const { activities, calls } = scriptedActivities(script)
  const worker = await createWorker(environment, activities, name)
  const others = await Promise.all(alsoServed.map((queue) => createWorker(environment, activities, queue)))
  const serving = others.map((other) => other.run())
  await worker.runUntil(async () => {
    const { workflow: client } = environment.client
    const handle = await client.start(workflow, { workflowId: name, taskQueue: name, args: args(name) })
    while (cancelWhen !== undefined && !calls.includes(cancelWhen)) await environment.sleep(50)
    if (cancelWhen !== undefined) await handle.cancel()
    await drive?.(name)
    await handle.result().catch((error: unknown) => {
      if (cancelWhen === undefined) throw error
    })
    await save(name, handle.firstExecutionRunId)
    const latest = await client.getHandle(name).describe()
    if (latest.runId !== handle.firstExecutionRunId) await save(`${name}-2`, latest.runId, name)
  })
  for (const other of others) other.shutdown()
  await Promise.all(serving)
}

async function save(file: string, runId: string, workflowId = file): Promise<void> {
  const history = await environment.client.workflow.getHandle(workflowId, runId).fetchHistory()
  await writeFile(`${folder}${file}.${version}.json`, `${historyToJSON(history)}\n`)
  console.log(`${file}.${version}.json: ${history.events?.length} events`)
}
