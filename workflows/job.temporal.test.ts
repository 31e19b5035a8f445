import { randomUUID } from 'node:crypto'
import { Context } from '@temporalio/activity'
import type { WorkflowHandle } from '@temporalio/client'
import { expect, test } from 'vitest'
import type { Activities } from '../protocol/activities.ts'
import { shardWorkflowId } from '../protocol/names.ts'
import { failing, scriptedActivities } from '../testing/scripted-activities.ts'
import { useTemporal } from '../testing/temporal.ts'
import type { jobWorkflow, JobWorkflowInput } from './job.ts'
import { concurrencyUpdate, pauseUpdate, resumeUpdate, statusQuery } from './messages.ts'

const temporal = useTemporal()

/** All gates of the running test: they are opened at its end, so that a failed test does not hang. */
const gates: Gate[] = []

/** Holds every rollout in its turns until it is let go, and knows how many are there. */
class Gate {
  inside = 0
  most = 0
  entered = 0
  #waiting: (() => void)[] = []
  #open = false

  constructor() {
    gates.push(this)
  }

  async pass(): Promise<void> {
    this.inside += 1
    this.entered += 1
    this.most = Math.max(this.most, this.inside)
    if (!this.#open) await new Promise<void>((resolve) => this.#waiting.push(resolve))
    this.inside -= 1
  }

  letGo(count: number): void {
    for (const resolve of this.#waiting.splice(0, count)) resolve()
  }

  openWide(): void {
    this.#open = true
    this.letGo(Infinity)
  }
}

function gatedTurns(gate: Gate): Activities['runTurns'] {
  return async ({ turn }) => {
    await beating(() => gate.pass())
    return { turn: turn + 1, end: 'done' }
  }
}

async function withJob(
  script: Parameters<typeof scriptedActivities>[0],
  input: Partial<JobWorkflowInput>,
  work: (job: Awaited<ReturnType<typeof startJob>>, calls: string[]) => Promise<void>,
): Promise<void> {
  const { activities, calls } = scriptedActivities(script)
  const taskQueue = randomUUID()
  const worker = await temporal.worker(activities, taskQueue)
  await worker.runUntil(async () => {
    const job = await startJob(taskQueue, input)
    try {
      await work(job, calls)
    } finally {
      gates.splice(0).forEach((gate) => gate.openWide())
    }
  })
}

async function startJob(taskQueue: string, input: Partial<JobWorkflowInput>) {
  const job = `job-${randomUUID()}`
  return await temporal.environment().client.workflow.start<typeof jobWorkflow>('jobWorkflow', {
    taskQueue,
    workflowId: job,
    args: [{ job, storeUrl: 'file:///none', taskQueue, concurrency: 3, proofKey: 'proof', searchable: true, ...input }],
  })
}

test('the window stays full, and is never wider than asked', async () => {
  const gate = new Gate()
  await withJob({ rollouts: 8, runTurns: gatedTurns(gate) }, {}, async (job) => {
    await expect.poll(() => gate.inside, { timeout: 20_000 }).toBe(3)
    gate.letGo(1)
    await expect.poll(() => gate.entered, { timeout: 20_000 }).toBe(4)
    await expect.poll(() => gate.inside, { timeout: 20_000 }).toBe(3)
    gate.openWide()
    await job.result()
    expect(gate.most).toBe(3)
    const status = await job.query(statusQuery)
    expect(status).toMatchObject({ state: 'completed', total: 8, ended: 8, tally: { graded: 8, rewardSum: 8 } })
  })
})

test('a failed rollout does not stop the others', async () => {
  const openRollout: Activities['openRollout'] = async ({ rollout, incarnation }) => {
    if (rollout.startsWith('task-1.')) return failing('image-missing')
    const lease = { provider: 'fake', place: 'here', sandbox: rollout, incarnation, spec: 'spec' }
    return { lease, agentTimeoutMs: 60_000, verifierTimeoutMs: 60_000 }
  }
  await withJob({ rollouts: 3, openRollout }, {}, async (job) => {
    await job.result()
    expect(await job.query(statusQuery)).toMatchObject({ tally: { graded: 2, failed: 1 } })
  })
})

test('a paused job starts nothing new until it is resumed', async () => {
  const gate = new Gate()
  await withJob({ rollouts: 6, runTurns: gatedTurns(gate) }, {}, async (job) => {
    await expect.poll(() => gate.inside, { timeout: 20_000 }).toBe(3)
    await job.executeUpdate(pauseUpdate)
    expect((await job.query(statusQuery)).state).toBe('paused')
    gate.letGo(3)
    await expect.poll(async () => (await job.query(statusQuery)).ended, { timeout: 20_000 }).toBe(3)
    expect((await job.query(statusQuery)).running).toEqual([])
    expect(gate.entered).toBe(3)
    await job.executeUpdate(resumeUpdate)
    gate.openWide()
    await job.result()
    expect(gate.entered).toBe(6)
  })
})

test('concurrency can be changed while the job runs; nonsense is refused', async () => {
  const gate = new Gate()
  await withJob({ rollouts: 8, runTurns: gatedTurns(gate) }, { concurrency: 1 }, async (job) => {
    await expect.poll(() => gate.inside, { timeout: 20_000 }).toBe(1)
    await expect(job.executeUpdate(concurrencyUpdate, { args: [0] })).rejects.toThrow()
    await job.executeUpdate(concurrencyUpdate, { args: [5] })
    await expect.poll(() => gate.inside, { timeout: 20_000 }).toBe(5)
    gate.openWide()
    await job.result()
  })
})

test('a cancelled job ends as cancelled only after its rollouts are released and its summary is stored', async () => {
  const released: string[] = []
  const order: string[] = []
  const script = {
    rollouts: 5,
    runTurns: untilCancelled,
    releaseSandbox: async ({ rollout }: { rollout: string }) => void (released.push(rollout), order.push('release')),
    summarizeJob: async ({ cancelled }: { cancelled: boolean }) => {
      order.push(`summary ${cancelled}`)
      return { graded: 0, failed: 0, cancelled: 5 }
    },
  }
  await withJob(script, { concurrency: 2 }, async (job, calls) => {
    await expect.poll(() => calls.filter((name) => name === 'runTurns').length, { timeout: 20_000 }).toBe(2)
    await job.cancel()
    await expect(job.result()).rejects.toMatchObject({ cause: { name: 'CancelledFailure' } })
    expect(released).toHaveLength(2)
    expect(order).toEqual(['release', 'release', 'summary true'])
  })
})

test('a job that is cancelled while the worker that plans it is dead ends as cancelled, with a summary', async () => {
  const planJob = () => beating(async () => await Context.current().cancelled.catch(() => failing('internal')))
  await withJob({ planJob }, {}, async (job, calls) => {
    await expect.poll(() => calls, { timeout: 20_000 }).toEqual(['planJob'])
    await job.cancel()
    await expect(job.result()).rejects.toMatchObject({ cause: { name: 'CancelledFailure' } })
    expect(calls).toEqual(['planJob', 'summarizeJob'])
  })
})

test('a job that fails while it is planned says why and starts nothing', async () => {
  await withJob({ planJob: async () => failing('task-invalid') }, {}, async (job, calls) => {
    await expect(job.result()).rejects.toMatchObject({ cause: { cause: { type: 'task-invalid' } } })
    expect(calls).toEqual(['planJob'])
  })
})

test('a large job runs in shards, and its window stays full across their ends', async () => {
  const gate = new Gate()
  await withJob({ rollouts: 10, runTurns: gatedTurns(gate) }, { concurrency: 4, shardSize: 3 }, async (job) => {
    await expect.poll(() => gate.inside, { timeout: 30_000 }).toBe(4)
    for (let ended = 1; ended <= 6; ended += 1) {
      gate.letGo(1)
      await expect.poll(() => gate.entered, { timeout: 30_000 }).toBe(4 + ended)
      await expect.poll(() => gate.inside, { timeout: 30_000 }).toBe(4)
    }
    // Rollouts begin in the order of the plan, so that all four of the last two shards are in flight.
    const working = [2, 3].map((shard) => `\`${shardWorkflowId(job.workflowId, shard)}\``).join(', ')
    await expect.poll(() => detailsOf(job), { timeout: 30_000 }).toContain(`now at work: ${working};`)
    const client = temporal.environment().client
    const last = await detailsOf(client.workflow.getHandle(shardWorkflowId(job.workflowId, 3)))
    expect(last).toContain('0 of 1 rollout ended')
    expect(last).toContain('| 1 | 0 | 0 | 0 | – |')
    gate.openWide()
    await job.result()
    expect(gate.most).toBe(4)
    expect(await detailsOf(job)).toContain('| 4 | 10 | 0 | 0 | 1.000 |')
    const status = await job.query(statusQuery)
    expect(status).toMatchObject({ state: 'completed', total: 10, tally: { graded: 10 } })
    expect(status.shards).toHaveLength(4)
  })
})

test('a large job can be cancelled in the middle', async () => {
  const released: string[] = []
  const script = {
    rollouts: 10,
    runTurns: untilCancelled,
    releaseSandbox: async ({ rollout }: { rollout: string }) => void released.push(rollout),
  }
  await withJob(script, { concurrency: 4, shardSize: 3 }, async (job, calls) => {
    await expect.poll(() => calls.filter((name) => name === 'runTurns').length, { timeout: 30_000 }).toBe(4)
    await job.cancel()
    await expect(job.result()).rejects.toMatchObject({ cause: { name: 'CancelledFailure' } })
    expect(released).toHaveLength(4)
  })
})

/** What a person sees of a workflow in the Temporal UI. */
async function detailsOf(handle: WorkflowHandle): Promise<string | undefined> {
  return (await handle.query<{ currentDetails?: string }>('__temporal_workflow_metadata')).currentDetails
}

/** Cancellation reaches an activity with its heartbeat, and without one it is taken for dead. */
async function beating<Result>(work: () => Promise<Result>): Promise<Result> {
  const context = Context.current()
  const ticking = setInterval(() => context.heartbeat(), 200)
  return await work().finally(() => clearInterval(ticking))
}

const untilCancelled: Activities['runTurns'] = () => beating(() => Context.current().cancelled)
