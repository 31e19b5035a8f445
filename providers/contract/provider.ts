import type { Duplex } from 'node:stream'
import type { SandboxSpec } from './runtime.ts'

/** What a provider can do, as data; the table in the docs is generated from it. */
export interface Capabilities {
  /** Sandboxes survive the death of the process that made them. */
  readonly durable: boolean
  /** Builds Dockerfiles: all of it, the file-copying subset, or none. */
  readonly dockerfile: 'full' | 'subset' | 'none'
  readonly networkModes: readonly ('public' | 'none' | 'allowlist')[]
  /** Resources that are enforced. Others are refused by `check`. */
  readonly resources: readonly ('cpus' | 'memoryMiB' | 'storageMiB' | 'pids' | 'gpus')[]
  readonly mounts: boolean
  readonly users: boolean
  readonly imageLayers: boolean
  /** Ends a sandbox in which no command has run for `limits.idleTimeoutMs`. Default false. */
  readonly endsIdle?: boolean
  /** Processes inside see only each other: what an agent left running can be told. Default true. */
  readonly ownProcessTable?: boolean
}

/** One thing wrong with an order or an input, before anything starts. */
export interface Problem {
  /** Where: `environment.gpus`, `--provider`, `environment/Dockerfile:3`. */
  readonly field: string
  /** What stands there. */
  readonly value?: string
  /** What was expected and what to do, one sentence. */
  readonly expected: string
}

/** Immutable labels: whose sandbox it is (design §7). Stored as `rollcall.<key>`. */
export interface Ownership {
  /** UUID of the Temporal namespace. */
  readonly namespace: string
  readonly job: string
  /** Workflow id of the rollout. */
  readonly workflow: string
  /** `pool`: of a pool; `job` and `workflow` are its workflow's id, `incarnation` the sandbox's number in it. */
  readonly role: 'main' | 'verifier' | 'pool'
  readonly incarnation: number
  /** Owner nonce: a uuid made in the rollout workflow. */
  readonly owner: string
  /** `specHash` of the order. */
  readonly spec: string
  readonly keep: 'never' | 'on-failure' | 'always'
  /** Absolute, milliseconds since 1970: past it anybody may remove the sandbox. */
  readonly expires: number
}

export interface CreateRequest {
  /** ≤ 63 characters `[a-z0-9-]`, derived, unique per incarnation. */
  readonly name: string
  readonly spec: SandboxSpec
  readonly ownership: Ownership
  /** Values of `spec.secrets`. Never stored or logged. */
  readonly secrets: Readonly<Record<string, string>>
  /** One short line now and then: "building image", "starting". */
  readonly onProgress?: (line: string) => void
  readonly signal?: AbortSignal
}

export interface Sandbox {
  readonly name: string
  /** The provider's own id. */
  readonly id: string
  /** What it was made from: an image digest, or a sentence for providers without images. Goes into the lock file. */
  readonly image: string
  /** Directory that commands start in. */
  readonly workdir: string
}

export interface FoundSandbox extends Sandbox {
  /** `dead` has ended or can no longer be used; `reason` says why as far as is known. */
  readonly state: 'running' | 'dead'
  readonly reason?: 'oom' | 'lifetime' | 'exited' | 'unknown'
  readonly ownership: Ownership
  /** When it was made, by the clock of its place: milliseconds since 1970. */
  readonly createdMs: number
}

/** Where the programs of a sandbox and their settings lie. */
export const systemFolders = ['/bin', '/etc', '/lib', '/lib32', '/lib64', '/libx32', '/sbin', '/usr'] as const

/** The system folders of a sandbox at one moment: two pictures differ in what has changed between them. */
export interface SystemPicture {
  /** Each path with a mark, which is another one when the path has changed. Of some providers only those that differ from the image. */
  readonly paths: readonly (readonly [path: string, mark: string])[]
  /** There were more than were looked at. */
  readonly isCut: boolean
}

/** Whoever sits before a shell: a process with a terminal, or a program whose streams are pipes. */
export interface ShellUser {
  readonly stdin: NodeJS.ReadStream
  readonly stdout: NodeJS.WriteStream
  readonly stderr: NodeJS.WriteStream
  /** Whether input and output are a terminal: then the shell gets one, too, of the same size. */
  readonly isTerminal: boolean
  /** `TERM` of that terminal. */
  readonly terminalType: string
  /** A script for `sh`; without it an interactive shell, bash where there is one. */
  readonly command?: string
  /** Default: the user of the agent's commands. */
  readonly user?: string
}

/**
 * The one contract of all providers: *where* sandboxes are made. A provider knows nothing of Temporal, of other
 * providers or of `process.env`. Every method may be called again with the same arguments, by another process, at any
 * time. Errors are RollcallError with a code of actor `provider`, `sandbox` or `author`.
 */
export interface Provider {
  readonly name: string
  readonly capabilities: Capabilities
  /** The Engine, host or account where sandboxes are; stable across processes. @throws `provider-unavailable` */
  place(): Promise<string>
  /** Every field that cannot be honoured, by name. Creates nothing. */
  check(spec: SandboxSpec): Promise<Problem[]>
  /**
   * Makes the sandbox, or adopts the one of that name if its owner nonce and spec hash match, and returns when it runs.
   * Builds the image first where needed, once per content hash however many ask.
   * @throws `sandbox-conflict` naming both owners; `image-build-failed`; `image-missing`; `provider-busy`;
   *   `sandbox-lost` when a matching sandbox of that name has already died.
   */
  createOrAdopt(request: CreateRequest): Promise<Sandbox>
  /** The sandbox of that name, dead or alive, or undefined. */
  find(name: string): Promise<FoundSandbox | undefined>
  /**
   * A new attachment to the runner inside: bytes in are requests, bytes out are frames (runner/protocol.md). Ending it
   * stops nothing inside. @throws `sandbox-lost` when the sandbox is gone or dead, `provider-unavailable` otherwise.
   */
  connect(name: string): Promise<Duplex>
  /** Removes it with everything in it; returns when it is verified gone. Gone already is fine. */
  destroy(name: string): Promise<void>
  /**
   * Lets a person in, beside whatever runs: with the sandbox's environment, in its working directory, known to no
   * journal. What it starts counts as nobody's command and dies with the sandbox. Absent where there is no way in.
   * @returns the shell's exit code
   * @throws `sandbox-lost` when it is gone or dead; `runtime-unsupported` for a user that cannot be had
   */
  shell?(name: string, user: ShellUser): Promise<number>
  /**
   * Looks at the system folders from outside, where nothing inside can lie about them. Mounts are not seen through.
   * Absent where nobody can look from outside.
   * @throws `sandbox-lost`, `provider-unavailable`
   */
  systemPicture?(name: string): Promise<SystemPicture>
  /** All sandboxes of this place whose labels match all that are given. */
  list(labels: Partial<Ownership>): Promise<FoundSandbox[]>
  /** Lets go of connections; touches no sandbox. */
  close(): Promise<void>
}
