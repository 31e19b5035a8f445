import type { Client, WorkflowHandle } from '@temporalio/client'
import type { JobStatus } from '../protocol/events.ts'
import type { JobSummary } from '../protocol/grade.ts'
import { findJobOptions, readPlan, readResults } from '../results/read-job.ts'
import { mainReward, summarizeResults, wasCancelled } from '../results/summary.ts'
import type { Store } from '../store/store.ts'
import { endedQuery, segmentQuery, statusQuery } from '../workflows/messages.ts'
import type { JobWorkflowStatus, SegmentStatus } from '../workflows/messages.ts'

/** Names are paged: a shard has hundreds. */
const pageSize = 1_000

/** A workflow that runs rollouts itself: the job, or one of its shards. */
export interface SegmentView extends SegmentStatus {
  readonly workflowId: string
}

export interface JobView {
  readonly status: JobStatus
  readonly segments: readonly SegmentView[]
}

/** Asks a running job, and its shards, where they are. Needs a worker that answers. */
export async function viewJob(client: Client, job: string): Promise<JobView> {
  const own = await client.workflow.getHandle(job).query(statusQuery)
  const segments = own.shards.length === 0 ? [{ ...own, workflowId: job }] : await viewShards(client, own)
  return { status: statusOf({ job, own, segments }), segments }
}

/** Names of rollouts of a segment that have ended, from an offset, in the order in which they ended. */
export async function endedSince(client: Client, segment: SegmentView, from: number): Promise<readonly string[]> {
  if (segment.ended <= from) return []
  return await client.workflow.getHandle(segment.workflowId).query(endedQuery, from, pageSize)
}

async function viewShards(client: Client, own: JobWorkflowStatus): Promise<SegmentView[]> {
  return await Promise.all(
    own.shards.map(async ({ workflowId }) => {
      const handle: WorkflowHandle = client.workflow.getHandle(workflowId)
      return { ...(await handle.query(segmentQuery)), workflowId }
    }),
  )
}

function statusOf(view: { job: string; own: JobWorkflowStatus; segments: readonly SegmentView[] }): JobStatus {
  const sum = (count: (segment: SegmentView) => number) => view.segments.reduce((total, each) => total + count(each), 0)
  return {
    job: view.job,
    state: view.own.state,
    total: view.own.total,
    graded: sum(({ tally }) => tally.graded),
    failed: sum(({ tally }) => tally.failed),
    cancelled: sum(({ tally }) => tally.cancelled),
    running: sum(({ running }) => running.length),
    concurrency: view.own.concurrency,
    rewardSum: sum(({ tally }) => tally.rewardSum),
  }
}

/**
 * Where a running job is as far as its store and the server know, for when no worker can be asked. Whether it is paused
 * or its concurrency was changed only its workflow knows.
 */
export async function viewUnservedJob(at: { client: Client; store: Store; job: string }): Promise<JobView> {
  const { client, store, job } = at
  const stored = await storedStatus(store, job)
  const planned = new Set((await readPlan(store, job))?.map(({ name }) => name))
  const running: string[] = []
  const query = `WorkflowType = "rolloutWorkflow" AND ExecutionStatus = "Running" AND WorkflowId STARTS_WITH "${job}."`
  for await (const { workflowId } of client.workflow.list({ query })) {
    const name = workflowId.slice(job.length + 1)
    if (planned.has(name)) running.push(name)
  }
  const { graded, failed, cancelled, rewardSum } = stored
  const tally = { graded, failed, cancelled, rewardSum, left: 0 }
  const state = stored.total === 0 ? 'planning' : 'running'
  const segments = [{ workflowId: job, tally, running, ended: graded + failed + cancelled }]
  return { status: { ...stored, state, running: running.length }, segments }
}

/** Of a job without a summary: what its stored results come to. */
export async function storedStatus(store: Store, job: string): Promise<Omit<JobStatus, 'state'>> {
  const names = (await readPlan(store, job))?.map(({ name }) => name) ?? []
  const [options, results] = await Promise.all([findJobOptions(store, job), readResults(store, job, names)])
  const soFar = statusOfSummary(summarizeResults({ job, results }), options?.concurrency ?? 0)
  const { state: _, ...counts } = soFar
  return { ...counts, total: names.length }
}

/** The status of a job that is over, from its stored summary. */
export function statusOfSummary(summary: JobSummary, concurrency: number): JobStatus {
  const rewards = summary.rollouts.map(({ rewards: each }) => (each === undefined ? undefined : mainReward(each)))
  return {
    job: summary.job,
    state: wasCancelled(summary) ? 'cancelled' : 'completed',
    total: summary.rollouts.length,
    graded: summary.graded,
    failed: summary.failed,
    cancelled: summary.cancelled,
    running: 0,
    concurrency,
    rewardSum: rewards.reduce<number>((total, reward) => total + (reward ?? 0), 0),
  }
}
