import type { TaskJudge } from './judge.ts'
import type { RuntimeConfig } from '../protocol/runtime-config.ts'
import type { ImageSource, Limits, Mount, Network, Resources } from '../providers/contract/runtime.ts'

/** One problem as loaded from a Harbor task directory (or another format), validated. */
export interface Task {
  /** Unique within its taskset; matches `taskNamePattern`. */
  readonly name: string
  /** sha256 of all its files (names, modes, contents), hex: its identity, and the name of its copy in the store. */
  readonly checksum: string
  /** The directory it was loaded from, on this machine. */
  readonly directory: string
  readonly instruction: string
  readonly runtime: TaskRuntime
  /** Over `runtime`, from the task's `rollcall.yaml`; `null` clears. */
  readonly ownRuntime?: RuntimeConfig
  /** The profile of the pool that its sandbox is taken from. Absent: the job's, where that has one. */
  readonly profile?: string
  /** Grades instead of `tests/test.sh`. */
  readonly grader?: GraderReference
  /** Grades instead of `tests/test.sh`; of several steps, each one. */
  readonly judge?: TaskJudge
  readonly agent: TaskAgent
  readonly verifier: TaskVerifier
  /** Its parts in order; empty for a task of one part, which is described by the task itself (see `task-parts.ts`). */
  readonly steps: readonly TaskStep[]
  /** How the rewards of several steps become the rollout's: means by name, or the last graded step's own. */
  readonly rewardStrategy: 'mean' | 'final'
  /** Collected at the end (of each step), besides `/logs/artifacts`, which always is. */
  readonly artifacts: readonly TaskArtifact[]
  /** Has to pass before the agent begins. */
  readonly healthcheck?: Healthcheck
  /** A folder in the sandbox with skills for agents that use them: absolute, or relative to the working directory. */
  readonly skillsDirectory?: string
  readonly solution: { readonly env: Readonly<Record<string, string>> }
  /** Free-form, from `[metadata]`. */
  readonly metadata: Readonly<Record<string, unknown>>
  /** `[task] keywords`. Default: none. */
  readonly keywords?: readonly string[]
  /** All files relative to `directory`, sorted. */
  readonly files: readonly string[]
}

/** A grader function: of which task of a bundled module. */
export interface GraderReference {
  /** Store key of the bundle. */
  readonly bundle: string
  /** The task's name in it. */
  readonly task: string
  /** The file it was bundled from, for messages. */
  readonly source: string
}

export interface TaskAgent {
  /** Absent: the job's limit for tasks that state none. */
  readonly timeoutMs?: number
  /** Absent: the runtime's user. */
  readonly user?: string
}

export interface TaskVerifier {
  readonly timeoutMs: number
  /** Absent: root. */
  readonly user?: string
  readonly env: Readonly<Record<string, string>>
  /** `separate`: the tests run in a sandbox of their own, which the agent never sees. */
  readonly mode: 'shared' | 'separate'
  /** Of the separate sandbox, which brings the tests in its image at `/tests`; absent when shared. */
  readonly runtime?: TaskRuntime
  /** Run in the agent's sandbox, in order, before artifacts are collected: they make evidence for the verifier. */
  readonly collect: readonly CollectCommand[]
}

export interface CollectCommand {
  readonly command: string
  readonly timeoutMs: number
  /** Absent: root. */
  readonly user?: string
}

/** One part of a multi-step task. What it leaves open is filled in with the task's when it is loaded. */
export interface TaskStep {
  /** Unique within the task; the name of its folder below `steps/`. */
  readonly name: string
  readonly instruction: string
  readonly agent: TaskAgent
  readonly verifier: TaskVerifier
  /** Least rewards by name: below one of them (or without it) the remaining steps are left out. */
  readonly minReward?: Readonly<Record<string, number>>
  /** After the step's setup, besides the task's own. */
  readonly healthcheck?: Healthcheck
  /** Besides the task's. */
  readonly artifacts: readonly TaskArtifact[]
}

export interface TaskArtifact {
  /** A file or folder in the sandbox: absolute, or relative to the working directory. */
  readonly source: string
  /** Relative to the rollout's `artifacts/`. Absent: the source's path, mirrored. */
  readonly destination?: string
  /** Patterns of `tar --exclude`. */
  readonly exclude: readonly string[]
}

/** As Docker's: the command is repeated until it exits with 0, or has failed too often. Run as the runtime's user. */
export interface Healthcheck {
  readonly command: string
  /** Between two runs. */
  readonly intervalMs: number
  /** Of one run. */
  readonly timeoutMs: number
  /** From the beginning: failures in it do not count. */
  readonly startPeriodMs: number
  /** Between two runs within the start period. */
  readonly startIntervalMs: number
  /** So many failures one after the other are the end; at least 1. */
  readonly retries: number
}

/** The task's part of a SandboxSpec; what is absent comes from the job's options and the provider's defaults. */
export interface TaskRuntime {
  readonly image: ImageSource
  /** The task's Dockerfile where `image` is a name all the same: what `ignoreDockerImage` builds. */
  readonly dockerfile?: Extract<ImageSource, { type: 'dockerfile' }>
  readonly resources: Resources
  readonly limits: Partial<Limits>
  readonly network: Network
  readonly networkAsked: boolean
  readonly env: Readonly<Record<string, string>>
  readonly mounts: readonly Mount[]
  readonly user?: string
  readonly workdir?: string
}
