import type { CallResult, Call } from '../agents/agent.ts'
import type { Failure } from './failure.ts'
import type { Rewards, RolloutState } from './grade.ts'
import type { RolloutPhase } from './names.ts'

/**
 * What `job.events()` yields: derived from workflow state and store, never from history events. `cursor` given back to
 * `events({ after })` goes on right after that event, also in another process.
 */
export type JobEvent = { readonly version: 1; readonly cursor: string; readonly job: string } & (
  | { readonly type: 'job'; readonly state: 'started' | 'paused' | 'resumed' | 'cancelling'; readonly total: number }
  | {
      readonly type: 'job'
      readonly state: 'completed' | 'cancelled' | 'failed'
      readonly total: number
      readonly failure?: Failure
    }
  | { readonly type: 'rollout'; readonly rollout: string; readonly state: 'started'; readonly phase: RolloutPhase }
  | {
      readonly type: 'turn'
      readonly rollout: string
      readonly turn: number
      readonly message?: string
      readonly calls: number
    }
  | {
      readonly type: 'call'
      readonly rollout: string
      readonly turn: number
      readonly call: Call
      readonly result: CallResult
    }
  | { readonly type: 'grade'; readonly rollout: string; readonly rewards: Rewards }
  | { readonly type: 'failure'; readonly rollout: string; readonly failure: Failure }
  | { readonly type: 'rollout'; readonly rollout: string; readonly state: RolloutState }
)

/** How far a job is, from its planning to its end. */
export type JobState =
  | 'planning'
  | 'running'
  | 'paused'
  | 'cancelling'
  | 'summarizing'
  | 'completed'
  | 'cancelled'
  | 'failed'

/** States that a job never leaves. */
export const finalJobStates: readonly JobState[] = ['completed', 'cancelled', 'failed']

/** Where a job is, as `job.status()` answers. */
export interface JobStatus {
  readonly job: string
  readonly state: JobState
  readonly total: number
  readonly graded: number
  readonly failed: number
  readonly cancelled: number
  readonly running: number
  readonly concurrency: number
  /** Sum of the rewards named `reward` (or the only one) over graded rollouts; mean = sum / graded. */
  readonly rewardSum: number
}
