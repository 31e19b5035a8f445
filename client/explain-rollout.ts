import { WorkflowNotFoundError } from '@temporalio/client'
import type { WorkflowExecutionDescription } from '@temporalio/client'
import { failureKinds } from '../protocol/failure.ts'
import type { RolloutResult } from '../protocol/grade.ts'
import { rolloutId } from '../protocol/names.ts'
import { readLatestOpening } from '../results/find-rollout.ts'
import type { FoundRollout } from '../results/find-rollout.ts'
import { readSummary } from '../results/read-job.ts'
import { resultKey, traceKey } from '../store/keys.ts'
import type { StoredOpening } from '../store/records.ts'
import { getJson } from '../store/stored-json.ts'
import type { Store } from '../store/store.ts'
import type { TemporalConnection } from './connect.ts'
import type { RolloutExplanation } from './explanation.ts'
import { isPolled } from './job-worker.ts'
import { viewJob } from './job-view.ts'
import { known, pendingStep, retryOf } from './pending-step.ts'
import type { PendingStep } from './pending-step.ts'
import { sayStep } from './say-step.ts'

export interface ExplainOptions {
  readonly store: Store
  /** Asked for only where the store does not tell all: a job that is over needs no server. */
  readonly temporal: () => Promise<TemporalConnection>
}

interface Asked extends FoundRollout {
  readonly store: Store
  readonly temporal: TemporalConnection
  readonly opening: StoredOpening | undefined
}

type Explained = Omit<RolloutExplanation, 'id' | 'job' | 'rollout' | 'sandbox'>

/** Why a rollout is where it is. Changes nothing, and needs no worker, though one that answers tells more. */
export async function explainRollout(found: FoundRollout, options: ExplainOptions): Promise<RolloutExplanation> {
  const { job, rollout } = found
  const { store } = options
  const [result, summary, opening] = await Promise.all([
    getJson<RolloutResult>(store, resultKey(job, rollout)),
    readSummary(store, job),
    readLatestOpening(store, found),
  ])
  const ask = async () => ({ ...found, store, opening, temporal: await options.temporal() })
  const explained =
    result === undefined ? await explainWithoutResult(await ask(), summary !== undefined) : explainResult(result)
  // Until its job is over, its sandbox may still be on the way out.
  const releasing = result !== undefined && summary === undefined ? await explainRelease(await ask()) : {}
  return { id: rolloutId(job, rollout), job, rollout, ...explained, ...releasing, ...sandboxOf(result, opening) }
}

function explainResult(result: RolloutResult): Explained {
  const { state, agentEnd, rewards, failure, finishedAt, job, name } = result
  return {
    state,
    doing: state === 'graded' ? 'it was graded' : `it ${state === 'failed' ? 'failed' : 'was cancelled'}`,
    ended: {
      at: finishedAt,
      trace: traceKey(job, name),
      ...known('rewards', rewards),
      ...known('agentEnd', agentEnd),
      ...(failure && { failure: { ...failure, ...kindOf(failure.code) } }),
    },
  }
}

function kindOf(code: keyof typeof failureKinds) {
  const { actor, meaning } = failureKinds[code]
  return { actor, meaning }
}

async function explainWithoutResult(asked: Asked, isJobOver: boolean): Promise<Explained> {
  const described = await describe(asked, rolloutId(asked.job, asked.rollout))
  if (described?.status.name === 'RUNNING') return await explainRunning(asked, described)
  if (described !== undefined) {
    const how = described.status.name.toLowerCase().replaceAll('_', ' ')
    return { state: 'lost', doing: `its workflow is ${how}, before it could store a result` }
  }
  return isJobOver ? { state: 'cancelled', doing: 'its job ended before it began' } : await explainNotBegun(asked)
}

async function explainRunning(asked: Asked, described: WorkflowExecutionDescription): Promise<Explained> {
  const step = pendingStep(described)
  const queue = step?.taskQueue ?? described.taskQueue
  const unserved = await isUnserved(asked, queue, step)
  const said = await sayStep(step, asked)
  const retry = step && retryOf(step)
  return {
    state: unserved ? 'waiting' : 'running',
    doing: unserved ? `it waits for a worker, and none polls the queue ${queue}; then: ${said.doing}` : said.doing,
    ...known('phase', step?.phase),
    ...known('since', (said.since ?? step?.scheduledAt ?? described.startTime).toISOString()),
    ...known('turn', said.turn),
    ...known('retry', retry),
    ...known('worker', step?.workerIdentity === undefined ? undefined : workerOf(step.workerIdentity)),
    ...known('unservedQueue', unserved ? queue : undefined),
  }
}

/** A step is for activity workers; between two steps the workflow itself waits for one. */
async function isUnserved({ temporal }: Asked, queue: string, step: PendingStep | undefined): Promise<boolean> {
  return !(await isPolled(temporal, queue, step === undefined ? 'workflows' : 'activities'))
}

function workerOf(identity: string): NonNullable<RolloutExplanation['worker']> {
  const [, pid, host] = /^(\d+)@(.+)$/.exec(identity) ?? []
  return pid === undefined || host === undefined ? { identity } : { identity, host, pid: Number(pid) }
}

async function explainNotBegun(asked: Asked): Promise<Explained> {
  const { temporal, job } = asked
  const described = await describe(asked, job)
  if (described?.status.name !== 'RUNNING') {
    const what = described === undefined ? 'the server does not know its job' : 'its job runs no longer'
    return { state: 'lost', doing: `${what}, and it has no result` }
  }
  const queue = described.taskQueue
  if (!(await isPolled(temporal, queue))) {
    const doing = `it has not begun: no worker polls the queue ${queue} of its job`
    return { state: 'waiting', doing, unservedQueue: queue }
  }
  const { status } = await viewJob(temporal.client, job)
  return { state: 'waiting', doing: sayJob(status) }
}

function sayJob({ state, running, concurrency }: { state: string; running: number; concurrency: number }): string {
  if (state === 'paused') return 'it has not begun: its job is paused (rollcall resume goes on)'
  if (state !== 'running') return `it has not begun: its job is ${state}`
  return `it has not begun: ${running} of at most ${concurrency} rollouts run at the same time, and it is none of them`
}

/** The result is stored, and may stand while the workflow still removes the sandbox. */
async function explainRelease(asked: Asked): Promise<Partial<Explained>> {
  const described = await describe(asked, rolloutId(asked.job, asked.rollout))
  if (described?.status.name !== 'RUNNING') return {}
  const { doing, state: _, ...rest } = await explainRunning(asked, described)
  return { ...rest, doing: `its result is stored; ${doing}` }
}

async function describe({ temporal }: Asked, id: string): Promise<WorkflowExecutionDescription | undefined> {
  try {
    return await temporal.client.workflow.getHandle(id).describe()
  } catch (error) {
    if (error instanceof WorkflowNotFoundError) return undefined
    throw error
  }
}

function sandboxOf(result: RolloutResult | undefined, opening: StoredOpening | undefined) {
  if (opening !== undefined) {
    const { provider, place, sandbox: name, incarnation } = opening.opened.lease
    return { sandbox: { provider, place, name, incarnation } }
  }
  if (result?.sandbox === undefined) return {}
  const { provider, place, name } = result.sandbox
  return { sandbox: { provider, place, name, incarnation: result.incarnations } }
}
