import type { CallResult, Decision, Usage } from '../agents/agent.ts'
import type { CriterionVerdict } from '../grading/judge-verdict.ts'
import type { ArtifactRecord, Integrity, Rewards } from '../protocol/grade.ts'
import type { Failure } from '../protocol/failure.ts'
import type { OpenedRollout, RolloutPolicy } from '../protocol/activities.ts'
import type { PlannedRollout } from '../protocol/job.ts'
import type { EffectiveRuntime } from '../protocol/runtime-config.ts'
import type { SystemPicture } from '../providers/contract/provider.ts'
import type { ExecId, ExecOutcome } from '../protocol/exec.ts'

/** What the objects of a job and its rollouts hold, by key (keys.ts); each is written once, by an activity. */

/** `planKey`: the job's rollouts in order. */
export interface StoredPlan {
  readonly rollouts: readonly PlannedRollout[]
  readonly policy: RolloutPolicy
  /** By task: what its sandboxes are asked to be. Absent in plans of older versions. */
  readonly runtimes?: Readonly<Record<string, EffectiveRuntime>>
  /** By task, as `taskTags` gives them. Absent in plans of older versions. */
  readonly tags?: Readonly<Record<string, readonly string[]>>
}

/** `answerKey`: the agent's answer of a turn, stored before it is acted on. */
export interface StoredAnswer {
  readonly decision: Decision
  /** ISO 8601: when the agent was asked. */
  readonly startedAt: string
}

/** `turnResultKey`: what a turn's calls came to. */
export interface StoredTurnResult {
  readonly results: readonly CallResult[]
  readonly execs: readonly ExecRecord[]
}

/** `openedKey`: the sandbox of one incarnation. */
export interface StoredOpening {
  readonly opened: OpenedRollout
  /** What the sandbox was made from: digest, or a sentence. */
  readonly image: string
  /** What it was asked to be. Absent in openings of older versions. */
  readonly runtime?: EffectiveRuntime
  readonly workdir: string
  /** Their numbers before the agent has run. Absent: not known, as of an image's own user. */
  readonly users?: {
    readonly agent?: number
    readonly verifier?: number
    /** The agent is not root, but can become root or put programs where root looks for them. */
    readonly isFree?: boolean
  }
  /** The same for each step of a task of several. */
  readonly stepUsers?: readonly NonNullable<StoredOpening['users']>[]
  readonly execs: readonly ExecRecord[]
  /** Before the agent was there. Absent where nobody can look, and in openings of older versions. */
  readonly system?: SystemPicture
}

/** `gradeKey`: what one grading attempt found. */
export interface StoredGrade {
  readonly rewards?: Rewards
  readonly integrity: Integrity
  readonly failure?: Failure
  readonly execs: readonly ExecRecord[]
  /** ISO 8601. */
  readonly startedAt: string
  readonly finishedAt: string
  /** Commands of processes that the agent had left running when the tests began. */
  readonly processes: readonly string[]
  /** System paths that had changed in the agent’s sandbox when the tests began; absent where there were none. */
  readonly changedPaths?: readonly string[]
  /** After the tests, where there may be others in that sandbox. */
  readonly system?: SystemPicture
  /** Only where a judge has graded. */
  readonly judge?: JudgeEvidence
}

/** What a judge said, and what asking it has cost. Question and answers are files of the grading attempt. */
export interface JudgeEvidence {
  readonly model: string
  readonly criteria: readonly CriterionVerdict[]
  /** How many answers it took. */
  readonly answers: number
  /** Of all of them; apart from the agent's. */
  readonly usage: Usage
}

/** `preparedKey`: the commands that prepared a step. */
export interface StoredPreparation {
  readonly execs: readonly ExecRecord[]
}

/** `healthKey`: one run of a health check. */
export interface StoredHealth {
  readonly healthy: boolean
  /** When it ended, counted from the first one's beginning. */
  readonly endedMs: number
  /** How it ended and what it printed last, for people. */
  readonly said: string
}

/** `collectedKey` */
export interface StoredCollection {
  readonly artifacts: readonly ArtifactRecord[]
  /** Commands that made evidence for a separate verifier. */
  readonly execs: readonly ExecRecord[]
}

/** What one stream of a command came to. */
export interface StreamRecord {
  readonly bytes: number
  readonly truncated: boolean
  /** Store key of the full output, where it was kept. */
  readonly key?: string
}

/** One command that ran in a sandbox. */
export interface ExecRecord {
  readonly incarnation: number
  readonly id: ExecId
  readonly command: string
  readonly outcome: ExecOutcome
  /** ISO 8601, by the worker's clock. */
  readonly startedAt: string
  /** By the sandbox's clock. */
  readonly durationMs: number
  readonly stdout: StreamRecord
  readonly stderr: StreamRecord
}

/** Below `enteredPrefix`: a person's visit. */
export interface StoredVisit {
  /** `user@host` of whoever came. */
  readonly who: string
  /** ISO 8601. */
  readonly at: string
  /** Absent: an interactive shell. */
  readonly command?: string
}
