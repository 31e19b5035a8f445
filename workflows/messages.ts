import { defineQuery, defineSignal, defineUpdate } from '@temporalio/workflow'
import type { JobState } from '../protocol/events.ts'

/** Counts of ended rollouts. */
export interface Tally {
  graded: number
  failed: number
  cancelled: number
  /** Sum of the main rewards of graded rollouts. */
  rewardSum: number
  /** Of all ended ones, those that left a sandbox to the sweep. */
  left: number
}

/** What a workflow that runs rollouts answers about itself: a job without shards, or one shard. */
export interface SegmentStatus {
  readonly tally: Tally
  /** Names of rollouts in flight. */
  readonly running: readonly string[]
  /** How many have ended: the length of the list that `endedQuery` pages through. */
  readonly ended: number
}

/** The job's own answer; the counts of shards that still work are theirs to tell. */
export interface JobWorkflowStatus extends SegmentStatus {
  readonly state: JobState
  readonly total: number
  readonly concurrency: number
  /** Shards in order: workflow ids of all that have begun, and whether each has ended. */
  readonly shards: readonly { readonly workflowId: string; readonly ended: boolean }[]
}

export const statusQuery = defineQuery<JobWorkflowStatus>('status')
export const segmentQuery = defineQuery<SegmentStatus>('segment')
/** Names of ended rollouts in the order in which they ended. */
export const endedQuery = defineQuery<readonly string[], [from: number, count: number]>('ended')

export const pauseUpdate = defineUpdate<void>('pause')
export const resumeUpdate = defineUpdate<void>('resume')
export const concurrencyUpdate = defineUpdate<void, [size: number]>('setConcurrency')

/** Job → shard: the window it may use. */
export const windowSignal = defineSignal<[{ size: number; paused: boolean }]>('window')
/** Shard → job: it has started its last rollout and still has this many in flight. */
export const drainingSignal = defineSignal<[{ shard: number; running: number }]>('draining')
