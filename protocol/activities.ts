import type { Failure } from './failure.ts'
import type { AgentEnd, Integrity, PhaseTimes, Rewards, RolloutState } from './grade.ts'
import type { JobOptions, PlannedRollout } from './job.ts'
import type { ScheduledStart, Verdict } from './schedule.ts'

/** What crosses between workflows and activities: keys and small facts, never contents. */

/** The right to use a sandbox. */
export interface Lease {
  readonly provider: string
  readonly place: string
  readonly sandbox: string
  readonly incarnation: number
  readonly spec: string
}

/** Where a sandbox is to be made: chosen, and kept by the history, before anything is created there. */
export interface Placement {
  readonly place: string
  /** The reach queue of that place. */
  readonly queue: string
}

export interface JobRef {
  readonly job: string
  readonly storeUrl: string
}

/** One rollout in one incarnation of its sandbox. */
export interface RolloutRef extends JobRef {
  /** `<task>.<agent label>.<attempt>` */
  readonly rollout: string
  readonly incarnation: number
  /** Owner nonce: made once in the rollout workflow. */
  readonly owner: string
  /** Where this incarnation was placed. Absent: wherever the job's own worker is. */
  readonly place?: string
}

/** What the job's plan says that workflows need to decide. */
export interface RolloutPolicy {
  readonly sandboxLoss: JobOptions['sandboxLoss']
  readonly gradingAttempts: number
  /** The largest of all tasks' limits, for open's timeouts. */
  readonly acquireTimeoutMs: number
  readonly startTimeoutMs: number
}

export interface PlanResult {
  readonly total: number
  readonly provider: string
  readonly policy: RolloutPolicy
  /** The first rollouts of the plan; `listRollouts` gives the others. */
  readonly first: readonly PlannedRollout[]
}

export interface OpenedRollout {
  readonly lease: Lease
  readonly agentTimeoutMs: number
  readonly verifierTimeoutMs: number
}

/** The worker shuts down: schedule the same activity again, with the same keys. */
export interface HandedOver {
  readonly handedOver: true
  /** Turns: how much of the agent's time they had taken by then, in milliseconds. */
  readonly tookMs?: number
}

export interface TurnsInput extends RolloutRef {
  readonly lease: Lease
  readonly phase: number
  /** First turn to take. */
  readonly turn: number
  /** How much time the agent has left, in milliseconds; it passes while a worker holds the sandbox. */
  readonly agentMs: number
  readonly sliceMs: number
  /** A worker that shut down has begun this slice. */
  readonly wasHandedOver?: boolean
}

export interface TurnsResult {
  /** The next turn to take. */
  readonly turn: number
  /** Absent: there are more turns. */
  readonly end?: AgentEnd
  /** How much of the agent's time they took, in milliseconds. Absent: a worker of an earlier version, which does not say. */
  readonly tookMs?: number
}

export interface GradeInput extends RolloutRef {
  readonly lease: Lease
  /** A phase of its own for each grading attempt: exec ids never repeat. */
  readonly phase: number
  readonly attempt: number
}

export interface GradeResult {
  readonly rewards: Rewards
  readonly integrity: Integrity
}

export interface RecordInput extends RolloutRef {
  readonly state: RolloutState
  readonly failure?: Failure
  readonly grade?: GradeResult
  readonly agentEnd?: AgentEnd
  /** Absent when the sandbox was never open or is lost: nothing can be fetched from it. */
  readonly lease?: Lease
  readonly phase: number
  readonly gradingAttempts: number
  /** ISO 8601, by the workflow's clock. */
  readonly startedAt: string
  readonly phases: PhaseTimes
}

/** What a rollout workflow returns to its job: about 100 bytes. */
export interface RolloutOutcome {
  readonly state: RolloutState
  readonly reward?: number
  readonly code?: string
  /** A sandbox could not be removed in its hour: the sweep has it. */
  readonly left?: boolean
}

export interface ReleaseInput extends JobRef {
  readonly rollout: string
  readonly owner: string
  /** How the rollout ended: decides, with the job's keep policy, whether the last sandbox stays. */
  readonly state: RolloutState
  /** Where they are, if they were placed. */
  readonly place?: string
  /** Those to be released here. */
  readonly incarnations: readonly number[]
  /** The one that ends with the rollout: the keep policy is about its sandbox alone. */
  readonly last: number
  /** Nobody knows what became of opening the last one: its sandbox may still appear. */
  readonly mayAppear: boolean
}

export interface SummaryResult {
  readonly graded: number
  readonly failed: number
  readonly cancelled: number
  readonly mean?: number
}

/** A scheduled job as it was prepared: what its workflow is started with. */
export interface PreparedJob {
  readonly proofKey: string
  readonly provider: string
  readonly concurrency: number
  /** `<taskset> · 3 tasks · oracle`. */
  readonly summary: string
}

export interface JudgeInput extends JobRef, ScheduledStart {
  /** Why there is nothing to compare: the job could not be planned, or was cancelled. */
  readonly failure?: string
}

export interface JudgeResult {
  readonly verdict: Verdict
  /** For a person: one sentence, then the tasks that changed, as Markdown. */
  readonly details: string
}

/** The activities as workflows see them; `activities/create-activities.ts` implements it. */
export interface Activities {
  planJob(input: JobRef & { proofKey: string; firstCount: number }): Promise<PlanResult>
  listRollouts(input: JobRef & { from: number; count: number }): Promise<readonly PlannedRollout[]>
  placeRollout(input: RolloutRef): Promise<Placement>
  openRollout(input: RolloutRef): Promise<OpenedRollout | HandedOver>
  runTurns(input: TurnsInput): Promise<TurnsResult | HandedOver>
  gradeRollout(input: GradeInput): Promise<GradeResult | HandedOver>
  recordRollout(input: RecordInput): Promise<RolloutOutcome>
  releaseSandbox(input: ReleaseInput): Promise<void>
  summarizeJob(input: JobRef & { cancelled: boolean }): Promise<SummaryResult>
  prepareScheduledJob(input: JobRef & ScheduledStart): Promise<PreparedJob>
  judgeScheduledJob(input: JudgeInput): Promise<JudgeResult>
  notifyVerdict(input: JobRef & ScheduledStart): Promise<void>
}
