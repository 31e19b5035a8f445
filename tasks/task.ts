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
  readonly agent: { readonly timeoutMs?: number; readonly user?: string }
  readonly verifier: {
    readonly timeoutMs: number
    readonly user?: string
    readonly env: Readonly<Record<string, string>>
  }
  readonly solution: { readonly env: Readonly<Record<string, string>> }
  /** Free-form, from `[metadata]`. */
  readonly metadata: Readonly<Record<string, unknown>>
  /** `[task] keywords`. Default: none. */
  readonly keywords?: readonly string[]
  /** All files relative to `directory`, sorted. */
  readonly files: readonly string[]
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
