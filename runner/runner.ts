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
  /** `open`: what it reads comes from `writeInput`, until that says it ends. Not together with `stdin`. */
  readonly input?: 'open'
  /** Kept by the supervisor in the sandbox. */
  readonly timeoutMs: number
  /** How much of each stream is kept in memory as head and as tail. Default 64 KiB each. */
  readonly captureBytes?: number
  /** Receives every byte of stdout as well (spooling to the store, downloads). Ended by the runner. */
  readonly stdoutSink?: Writable
  readonly stderrSink?: Writable
  /** Its stdout is the bytes of files, not text for anybody: kept as it is. */
  readonly isTransfer?: true
  /** Its stdout is a piece of a longer output: a secret may be cut at either end of it. */
  readonly isPiece?: true
}

/** What became of bytes for a running command. */
export type InputOutcome =
  /** They are in the sandbox, once; the command reads them when it likes. */
  | 'written'
  /** The command has ended; its input was never open, or has been ended; bytes before these are missing; the disk is full. */
  | 'ended'
  | 'closed'
  | 'gap'
  | 'full'

export interface OutputSoFar {
  /** `none`: there is no such command, or it is forgotten. How it ended is told by `exec`. */
  readonly state: 'running' | 'ended' | 'none'
  readonly stdout: Buffer
  readonly stderr: Buffer
  /** How long the streams are altogether. */
  readonly stdoutBytes: number
  readonly stderrBytes: number
}

export const sendableSignals = ['HUP', 'INT', 'QUIT', 'USR1', 'USR2', 'TERM', 'CONT', 'STOP', 'KILL'] as const
export type SendableSignal = (typeof sendableSignals)[number]

/**
 * What can be done with a command while it runs. Each may be asked twice, by another worker too: input has its place in
 * the stream, a signal its number.
 */
export interface LiveExecs {
  /**
   * Input of a command that was started with `input: 'open'`.
   * @param input.offset how many bytes came before: the same bytes at the same place are written once
   * @param input.end nothing comes after these bytes
   */
  writeInput(input: { id: ExecId; offset: number; bytes: Uint8Array; end?: boolean }): Promise<InputOutcome>
  /** What was written from these places on; at most 64 KiB of each stream. Reads only. */
  readOutput(from: { id: ExecId; stdout: number; stderr: number }): Promise<OutputSoFar>
  /**
   * To all processes of the command's group, once for each number.
   * @returns `again`: it had been sent before under this number
   */
  signal(target: { id: ExecId; signal: SendableSignal; number: number }): Promise<'sent' | 'again' | 'ended' | 'none'>
}

/**
 * The worker's side of the runner inside one sandbox. Safe to use twice: the same id attaches to the running or
 * finished command. A cut connection is reopened and the ids are asked for again, silently; only an unusable sandbox
 * throws.
 */
export interface Runner extends LiveExecs {
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
