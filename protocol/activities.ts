import type { Failure } from './failure.ts'
import type { AgentEnd, Integrity, PhaseTimes, Rewards, RolloutState, StepResult } from './grade.ts'
import type { JobOptions, PlannedRollout } from './job.ts'
import type { Profile } from './pool.ts'
import type { ScheduledStart, Verdict } from './schedule.ts'

/** What crosses between workflows and activities: keys and small facts, never contents. */

/** The right to use a sandbox. */
export interface Lease {
  readonly provider: string
  readonly place: string
  readonly sandbox: string
  readonly incarnation: number
  readonly spec: string
  /** Settings of its provider, where the sandbox is of a pool. Absent: the job's. */
  readonly options?: Readonly<Record<string, string>>
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

/** What a workflow needs to know of one part of a task: of the task itself, or of a step. */
export interface PartPlan {
  readonly agentTimeoutMs: number
  readonly verifierTimeoutMs: number
  /** Its tests run in a sandbox of their own. */
  readonly separate?: true
}

export interface StepPlan extends PartPlan {
  readonly name: string
  /** Least rewards by name; below one, or without it, the remaining steps are left out. */
  readonly minReward?: Rewards
}

/** The time limits are the task's own; a task of several steps goes by those of its steps. */
export interface OpenedRollout extends PartPlan {
  readonly lease: Lease
  /** Absent for a task of one part. */
  readonly steps?: readonly StepPlan[]
  /** With `steps`: what they come to together. */
  readonly rewardStrategy?: 'mean' | 'final'
}

/** Which sandbox of the incarnation is meant: the agent's own, or a verifier's, one for each grading attempt. */
export interface VerifierRole {
  /** The phase of the grading attempt that it is for. */
  readonly phase: number
  /** Absent for a task of one part. */
  readonly step?: number
}

export interface OpenInput extends RolloutRef {
  /** Absent: the agent's sandbox. */
  readonly verifier?: VerifierRole
}

/** Something done in the agent's sandbox for one part of the task, in a phase of its own. */
export interface PartInput extends RolloutRef {
  readonly lease: Lease
  readonly phase: number
  /** Absent for a task of one part. */
  readonly step?: number
}

export interface PreparedStep {
  readonly prepared: true
}

export interface CollectedArtifacts {
  /** How many artifacts there were. */
  readonly collected: number
}

/** The worker shuts down: schedule the same activity again, with the same keys. */
export interface HandedOver {
  readonly handedOver: true
  /** Turns: how much of the agent's time they had taken by then, in milliseconds. */
  readonly tookMs?: number
}

export interface TurnsInput extends PartInput {
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

/** `phase` is one of its own for each grading attempt: exec ids never repeat. */
export interface GradeInput extends PartInput {
  readonly attempt: number
  /**
   * The verifier has a sandbox of its own, which `lease` is about; the artifacts that it gets were collected in this
   * phase.
   */
  readonly collectedPhase?: number
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
  /** Of a task of several steps: those that were begun. */
  readonly steps?: readonly StepResult[]
  /** The artifacts of the last part begun have been collected already. */
  readonly isCollected?: true
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
  /** Sandboxes of separate verifiers that may still be there; never kept. */
  readonly verifiers?: readonly VerifierPlace[]
  /** The one that ends with the rollout: the keep policy is about its sandbox alone. */
  readonly last: number
  /** Nobody knows what became of opening the last one: its sandbox may still appear. */
  readonly mayAppear: boolean
}

/** A separate verifier's sandbox, by what its name is derived from. */
export interface VerifierPlace {
  readonly incarnation: number
  readonly phase: number
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
  /** Whether the job of that time has run: Temporal forgets that before the store does. */
  readonly isOver: boolean
}

export interface VerdictInput extends JobRef, ScheduledStart {
  /** Why there is nothing to compare: the job could not be planned, or was cancelled. */
  readonly failure?: string
}

export interface VerdictResult {
  readonly verdict: Verdict
  /** For a person: one sentence, then the tasks that changed, as Markdown. */
  readonly details: string
  /** Whether the schedule says who is to be told. */
  readonly notifies: boolean
}

/** One sandbox of a pool. */
export interface PoolSandboxRef {
  /** Workflow id of the pool. */
  readonly pool: string
  /** Owner nonce: made once in the pool workflow. */
  readonly owner: string
  /** From 1; never used twice. */
  readonly sandboxNumber: number
  readonly profile: Profile
}

export interface PlacedPoolSandboxRef extends PoolSandboxRef {
  readonly place: string
}

/** A sandbox of a pool as it was made, with its slots. */
export interface MadeSandbox {
  readonly name: string
  readonly spec: string
  /** What it was made from, as the provider says it. */
  readonly image: string
  /** Directory that its own commands start in. */
  readonly workdir: string
  /** Milliseconds since 1970: when it dies at the latest. */
  readonly endsAtMs: number
}

export interface ResetSlotsInput extends PlacedPoolSandboxRef {
  /** Counts within the sandbox, from 1: the exec id of this reset. */
  readonly reset: number
  /** With the phase of the latest lease of each. */
  readonly slots: readonly { readonly slot: number; readonly phase: number }[]
}

export interface CheckPoolInput {
  readonly pool: string
  readonly owner: string
  readonly profile: Profile
  readonly place: string
  /** Those that are expected to live. */
  readonly sandboxes: readonly number[]
}

export interface CheckPoolResult {
  /** Those that do not live, with why. */
  readonly dead: readonly { readonly sandboxNumber: number; readonly reason: string }[]
}

export interface RemovePoolSandboxInput extends PlacedPoolSandboxRef {
  /** Its making has ended without an answer: look again for a while. */
  readonly mayAppear: boolean
}

/** The activities as workflows see them; `activities/create-activities.ts` implements it. */
export interface Activities {
  planJob(input: JobRef & { proofKey: string; firstCount: number }): Promise<PlanResult>
  listRollouts(input: JobRef & { from: number; count: number }): Promise<readonly PlannedRollout[]>
  placeRollout(input: RolloutRef): Promise<Placement>
  openRollout(input: OpenInput): Promise<OpenedRollout | HandedOver>
  prepareStep(input: PartInput): Promise<PreparedStep | HandedOver>
  runTurns(input: TurnsInput): Promise<TurnsResult | HandedOver>
  collectArtifacts(input: PartInput): Promise<CollectedArtifacts | HandedOver>
  gradeRollout(input: GradeInput): Promise<GradeResult | HandedOver>
  recordRollout(input: RecordInput): Promise<RolloutOutcome>
  releaseSandbox(input: ReleaseInput): Promise<void>
  summarizeJob(input: JobRef & { cancelled: boolean }): Promise<SummaryResult>
  prepareScheduledJob(input: JobRef & ScheduledStart): Promise<PreparedJob>
  judgeScheduledJob(input: VerdictInput): Promise<VerdictResult>
  notifyVerdict(input: JobRef & ScheduledStart): Promise<void>
  placePoolSandbox(input: PoolSandboxRef): Promise<Placement>
  openPoolSandbox(input: PlacedPoolSandboxRef): Promise<MadeSandbox | HandedOver>
  resetSlots(input: ResetSlotsInput): Promise<void>
  checkPool(input: CheckPoolInput): Promise<CheckPoolResult>
  removePoolSandbox(input: RemovePoolSandboxInput): Promise<void>
  findClosedWorkflows(input: { workflows: readonly string[] }): Promise<readonly string[]>
}
