import type { Failure } from './failure.ts'
import type { Usage } from '../agents/agent.ts'
import type { JobStatistics, PhaseMs } from './statistics.ts'

/** How hard the grade was to forge, strongest first (design §10). */
export const integrityClasses = ['separate', 'non-root', 'clean', 'live'] as const
export type Integrity = (typeof integrityClasses)[number]

/** Rewards by name, each a finite number. */
export type Rewards = Readonly<Record<string, number>>

export type RolloutState = 'graded' | 'failed' | 'cancelled'

export type AgentEnd = 'done' | 'agent-timeout' | 'max-turns' | 'max-tokens'

/** When the timed phases of a rollout began and ended, ISO 8601; one that was never entered is absent. */
export type PhaseTimes = Readonly<
  Partial<Record<'open' | 'turns' | 'grade', { readonly startedAt: string; readonly finishedAt: string }>>
>

/** What a rollout came to: `result.json` of the store and the record behind every table. */
export interface RolloutResult {
  readonly version: 1
  /** Workflow id. */
  readonly id: string
  readonly job: string
  readonly name: string
  readonly task: string
  readonly taskChecksum: string
  readonly agent: string
  readonly attempt: number
  readonly state: RolloutState
  /** Only when graded. */
  readonly rewards?: Rewards
  readonly integrity?: Integrity
  /** Only when failed or cancelled. */
  readonly failure?: Failure
  /** How the agent's part ended; an outcome, not a failure. */
  readonly agentEnd?: AgentEnd
  readonly turns: number
  readonly usage: Usage
  readonly incarnations: number
  readonly gradingAttempts: number
  readonly sandbox?: {
    readonly provider: string
    readonly name: string
    readonly place: string
    readonly image: string
  }
  /** ISO 8601. */
  readonly startedAt: string
  readonly finishedAt: string
  readonly phases: PhaseTimes
}

/** One line of the summary: what scripts depend on (`--json`, `summary.json`). */
export interface SummaryRollout {
  readonly id: string
  readonly task: string
  readonly agent: string
  readonly attempt: number
  readonly state: RolloutState
  readonly rewards?: Rewards
  readonly integrity?: Integrity
  readonly failure?: Failure
  /** From here on absent for rollouts that never began, and in summaries of older versions. */
  readonly taskChecksum?: string
  readonly agentEnd?: AgentEnd
  readonly turns?: number
  readonly timeMs?: PhaseMs
  /** What the agent reported. */
  readonly usage?: Usage
}

export interface JobSummary {
  readonly type: 'summary'
  readonly job: string
  /** Mean reward over graded rollouts; absent when none was graded. */
  readonly mean?: number
  readonly graded: number
  readonly failed: number
  readonly cancelled: number
  readonly rollouts: readonly SummaryRollout[]
  /** The job that this one ran again in part. */
  readonly parentJob?: string
  /** Absent in summaries of older versions. */
  readonly statistics?: JobStatistics
}
