import type { Failure } from './failure.ts'
import type { EffectiveRuntime } from './runtime-config.ts'
import type { Usage } from '../agents/agent.ts'
import type { JobStatistics, PhaseMs } from './statistics.ts'

/** How hard the grade was to forge, strongest first (design §10). */
export const integrityClasses = ['separate', 'non-root', 'clean', 'live'] as const
/** One of the integrity classes. */
export type Integrity = (typeof integrityClasses)[number]

/** Whether a grade of class `found` is good enough where `required` is asked for. */
export function isAsHard(found: Integrity, required: Integrity): boolean {
  return integrityClasses.indexOf(found) <= integrityClasses.indexOf(required)
}

/** Rewards by name, each a finite number. */
export type Rewards = Readonly<Record<string, number>>

export type RolloutState = 'graded' | 'failed' | 'cancelled'

export type AgentEnd = 'done' | 'agent-timeout' | 'max-turns' | 'max-tokens'

/** When the timed phases of a rollout began and ended, ISO 8601; one that was never entered is absent. */
export type PhaseTimes = Readonly<
  Partial<Record<'open' | 'turns' | 'grade', { readonly startedAt: string; readonly finishedAt: string }>>
>

/** What became of one artifact that was to be collected. */
export interface ArtifactRecord {
  /** Absolute path in the sandbox. */
  readonly source: string
  /** Relative to the rollout's `artifacts/`, or to a step's. */
  readonly destination: string
  readonly type?: 'file' | 'directory'
  /**
   * `partial`: cut at the size limit, or it could not be read to its end. `skipped`: a link, a special file, or another
   * artifact has its destination; `reason` says which.
   */
  readonly status: 'ok' | 'partial' | 'missing' | 'skipped'
  readonly reason?: string
  /** Of the tar. */
  readonly bytes?: number
  /** Store key of a tar: the folder's content, or the file alone. */
  readonly key?: string
}

/** What one step of a rollout came to; one that was never begun has none. */
export interface StepResult {
  readonly name: string
  readonly rewards?: Rewards
  readonly integrity?: Integrity
  readonly agentEnd?: AgentEnd
  /** Why the rollout ended with this step. */
  readonly failure?: Failure
  readonly gradingAttempts: number
  readonly phases: PhaseTimes
  /** Numbers of its phases in the last incarnation: its first and its last one. */
  readonly firstPhase: number
  readonly lastPhase: number
  readonly artifacts?: readonly ArtifactRecord[]
}

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
  /** How the agent's part ended (of several steps: the last one's); an outcome, not a failure. */
  readonly agentEnd?: AgentEnd
  /** Of a task of several steps: those that were begun, in order. Their rewards give the rollout's. */
  readonly steps?: readonly StepResult[]
  /** Of a task of one part: what was collected; absent when nothing was. */
  readonly artifacts?: readonly ArtifactRecord[]
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
  /** What the sandbox was asked to be, all layers resolved; absent where there never was one. */
  readonly runtime?: EffectiveRuntime
  /** What sandboxes of separate verifiers were made from. */
  readonly verifierImages?: readonly string[]
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

/** What a job came to: `summary.json`, and the last line of `--json`. */
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
