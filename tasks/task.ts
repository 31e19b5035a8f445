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
  /** Grades instead of `tests/test.sh`. */
  readonly grader?: GraderReference
  readonly agent: { readonly timeoutMs?: number; readonly user?: string }
  readonly verifier: {
    readonly timeoutMs: number
    readonly user?: string
    readonly env: Readonly<Record<string, string>>
  }
  readonly solution: { readonly env: Readonly<Record<string, string>> }
  /** Free-form, from `[metadata]`. */
  readonly metadata: Readonly<Record<string, unknown>>
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

/** The task's part of a SandboxSpec; what is absent comes from the job's options and the provider's defaults. */
export interface TaskRuntime {
  readonly image: ImageSource
  readonly resources: Resources
  readonly limits: Partial<Limits>
  readonly network: Network
  readonly networkAsked: boolean
  readonly env: Readonly<Record<string, string>>
  readonly mounts: readonly Mount[]
  readonly user?: string
  readonly workdir?: string
}
