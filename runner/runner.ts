import type { Writable } from 'node:stream'
import type { AcknowledgeMark, ExecId, ExecResult } from '../protocol/exec.ts'

export interface ExecRequest {
  readonly id: ExecId
  /** Text for the shell named by `shell`. */
  readonly script: string
  /** `bash` means bash where the image has it, else sh. Default `sh`. */
  readonly shell?: 'sh' | 'bash'
  /** Absolute. Default: the sandbox's workdir. A missing directory is exit code 1 with a message, like `cd`'s. */
  readonly cwd?: string
  readonly env?: Readonly<Record<string, string>>
  /** Name or uid. Default: the sandbox's user. */
  readonly user?: string
  /** Given to the command on its standard input; without it that is /dev/null. */
  readonly stdin?: Uint8Array
  /** Kept by the supervisor in the sandbox. */
  readonly timeoutMs: number
  /** How much of each stream is kept in memory as head and as tail. Default 64 KiB each. */
  readonly captureBytes?: number
  /** Receives every byte of stdout as well (spooling to the store, downloads). Ended by the runner. */
  readonly stdoutSink?: Writable
  readonly stderrSink?: Writable
  /** Its stdout is the bytes of files, not text for anybody: kept as it is. */
  readonly isTransfer?: true
}

/**
 * The worker's side of the runner inside one sandbox. Safe to use twice: the same id attaches to the running or
 * finished command. A cut connection is reopened and the ids are asked for again, silently; only an unusable sandbox
 * throws.
 */
export interface Runner {
  /**
   * Runs a command, or attaches to it. Aborting `signal` only detaches: the command runs on.
   * @throws RollcallError `sandbox-lost`, `provider-unavailable`; the signal's reason when aborted.
   */
  exec(request: ExecRequest, options?: { signal?: AbortSignal }): Promise<ExecResult>
  /** Lets the runner forget what lies before the mark. Sent with the next request; never waits. */
  acknowledge(mark: AcknowledgeMark): void
  /**
   * Ends running commands of a scope with everything they started: all, those of earlier phases (a grading attempt that
   * is repeated must not end its own tests), or one exec. Returns when they are dead. Daemons of commands that have
   * already ended stay.
   */
  stop(target: { scope: string; beforePhase?: number; id?: ExecId }): Promise<void>
  /** What the sandbox offers: found out when attached. */
  hello(): Promise<{ bash: boolean; tar: boolean; workdir: string; uid: number }>
  /** Ends the attachment; stops nothing. */
  close(): void
}
