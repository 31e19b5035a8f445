import {
  CancellationScope,
  CancelledFailure,
  isCancellation,
  setHandler,
  upsertSearchAttributes,
} from '@temporalio/workflow'
import type { SummaryResult } from '../protocol/activities.ts'
import type { JobState } from '../protocol/events.ts'
import type { JobInput } from '../protocol/job.ts'
import { counted, searchAttributeNames } from '../protocol/names.ts'
import type { ScheduledStart } from '../protocol/schedule.ts'
import { callActivity } from './activity-stubs.ts'
import { showProgress } from './job-details.ts'
import * as messages from './messages.ts'
import { onProviderQueue } from './places.ts'
import { Segment } from './segment.ts'
import { Shards } from './shards.ts'
import { activityOptions, rolloutsPerShard } from './timing.ts'
import type { WindowControl } from './window.ts'

/** Input of the job workflow; the options themselves are in the store. */
export interface JobWorkflowInput extends JobInput {
  /** Whether the namespace knows Rollcall's search attributes. */
  readonly searchable: boolean
  /**
   * The provider, for a job that shared workers serve: each sandbox is placed on one of their hosts. Absent: the job's
   * own worker has everything on one queue.
   */
  readonly sharedProvider?: string
  /** For a job that a schedule has started: it is judged when it has ended. */
  readonly scheduled?: ScheduledStart
  /** Rollouts per shard; tests make it small. */
  readonly shardSize?: number
}

/**
 * One run of a taskset: plan → rollouts in a window of `concurrency` → summary. A cancelled job ends as cancelled, but
 * only after every rollout has torn down its sandbox and the summary is stored.
 */
export async function jobWorkflow(input: JobWorkflowInput): Promise<SummaryResult> {
  const job = new Job(input)
  job.listen()
  await job.planAndWork()
  const cancelled = CancellationScope.current().consideredCancelled
  const summary = await CancellationScope.nonCancellable(async () => {
    const summarized = await job.summarize(cancelled)
    await job.judge(cancelled)
    return summarized
  })
  if (cancelled) throw new CancelledFailure(`The job was cancelled; ${job.whatIsLeft()}.`)
  return summary
}

class Job {
  readonly #input: JobWorkflowInput
  readonly #control: WindowControl
  #state: JobState = 'planning'
  #total = 0
  #verdict: string | undefined
  #segment: Segment | undefined
  #shards: Shards | undefined

  constructor(input: JobWorkflowInput) {
    this.#input = input
    this.#control = { size: input.concurrency, paused: false }
  }

  listen(): void {
    setHandler(messages.statusQuery, () => this.#status())
    setHandler(messages.endedQuery, (from, count) => this.#segment?.endedNames.slice(from, from + count) ?? [])
    setHandler(messages.pauseUpdate, () => this.#change({ paused: true }))
    setHandler(messages.resumeUpdate, () => this.#change({ paused: false }))
    setHandler(messages.concurrencyUpdate, (size) => this.#change({ size }), { validator: assertConcurrency })
    setHandler(messages.drainingSignal, (report) => this.#shards?.reportDraining(report))
    CancellationScope.current().cancelRequested.catch(() => this.#enter('cancelling'))
  }

  whatIsLeft(): string {
    const { left } = this.#status().tally
    return left === 0
      ? 'everything it had made is torn down'
      : `the sandboxes of ${left} rollouts are left to the sweep`
  }

  /** Returns when nothing of the job runs any more, also when it was cancelled. */
  async planAndWork(): Promise<void> {
    try {
      await this.#work()
    } catch (error) {
      // With its worker dead, a step runs out of time instead of answering that it was cancelled.
      if (!isCancellation(error) && !CancellationScope.current().consideredCancelled) throw error
    }
  }

  async summarize(cancelled: boolean): Promise<SummaryResult> {
    if (!cancelled) this.#enter('summarizing')
    const { job, storeUrl } = this.#input
    const summary = await callActivity(
      'summarizeJob',
      { ...activityOptions.summarizeJob, summary: cancelled ? 'cancelled' : counted(this.#total, 'rollout') },
      { job, storeUrl, cancelled },
    )
    this.#enter(cancelled ? 'cancelled' : 'completed')
    return summary
  }

  /** The verdict of a scheduled job, where a person looks for it. */
  async judge(cancelled: boolean): Promise<void> {
    const { job, storeUrl, scheduled, searchable } = this.#input
    if (scheduled === undefined || cancelled) return
    const { verdict, details } = await callActivity(
      'judgeScheduledJob',
      { ...activityOptions.judgeScheduledJob, summary: scheduled.schedule },
      { job, storeUrl, ...scheduled },
    )
    this.#verdict = details
    this.#show()
    if (searchable)
      upsertSearchAttributes([{ key: { name: searchAttributeNames.verdict, type: 'KEYWORD' }, value: verdict }])
  }

  async #work(): Promise<void> {
    const { job, storeUrl, proofKey, searchable, sharedProvider, shardSize = rolloutsPerShard } = this.#input
    const plan = await callActivity(
      'planJob',
      // Only a worker that has the provider can ask it what it cannot do.
      { ...activityOptions.planJob, ...onProviderQueue(sharedProvider), summary: job },
      { job, storeUrl, proofKey, firstCount: shardSize },
    )
    this.#total = plan.total
    this.#enter('running')
    const shared = sharedProvider === undefined ? {} : { sharedProvider }
    const input = { job, storeUrl, searchable, provider: plan.provider, policy: plan.policy, ...shared }
    if (plan.total <= shardSize) {
      this.#segment = new Segment(input, this.#control, { onBegun: () => this.#show(), onEnded: () => this.#show() })
      await this.#segment.drain(plan.first)
    } else {
      this.#shards = new Shards(input, this.#control, () => this.#show())
      await this.#shards.drain({ total: plan.total, shardSize })
    }
  }

  #change(change: Partial<WindowControl>): void {
    Object.assign(this.#control, change)
    this.#shards?.windowChanged()
    this.#show()
  }

  #enter(state: JobState): void {
    this.#state = state
    this.#show()
  }

  #show(): void {
    showProgress(this.#status(), this.#verdict)
  }

  #status(): messages.JobWorkflowStatus {
    const nothing = { tally: { graded: 0, failed: 0, cancelled: 0, rewardSum: 0, left: 0 }, running: [], ended: 0 }
    return {
      ...(this.#segment?.status() ?? nothing),
      ...(this.#shards === undefined ? {} : { tally: this.#shards.tally }),
      state: this.#state === 'running' && this.#control.paused ? 'paused' : this.#state,
      total: this.#total,
      concurrency: this.#control.size,
      shards: this.#shards?.entries ?? [],
    }
  }
}

function assertConcurrency(size: number): void {
  if (!Number.isInteger(size) || size < 1 || size > 10_000) {
    throw new RangeError(`concurrency is ${size}: expected a whole number from 1 to 10000`)
  }
}
