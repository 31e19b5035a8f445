/** What crosses between the worker and a sandbox about one command. */

/**
 * Identity of one command inside a sandbox (design §4). It never changes with an activity attempt, a worker or a lease,
 * so sending it twice attaches instead of running twice.
 */
export interface ExecId {
  /** Short name of the rollout: `[a-z0-9]{1,32}`; keeps rollouts that share a sandbox apart. */
  readonly scope: string
  /** Numbered by the workflow: 0 is open, then each step's turns and each grading attempt. */
  readonly phase: number
  /** The turn within the phase, from 0. */
  readonly batch: number
  /** The call within the batch, from 0. */
  readonly call: number
  /** Commands of one call, from 0. */
  readonly part: number
}

/** Everything before this (phase, batch) of the scope is recorded in the store: the runner may forget it. */
export interface AcknowledgeMark {
  readonly scope: string
  readonly phase: number
  readonly batch: number
  /** It is not to lie there any longer. Default: the runner forgets when it is worth its while. */
  readonly isToBeForgotten?: boolean
}

/** `phase-batch-call-part`: the id's name in the journal of its scope. */
export function execName(id: ExecId): string {
  return `${id.phase}-${id.batch}-${id.call}-${id.part}`
}

export type LostReason =
  /** Claimed, but its supervisor is gone and left no exit record. */
  | 'supervisor-gone'
  /** The journal had no room for the claim; the command was not started. */
  | 'journal-full'
  /** The id lies below the acknowledged mark: the asker is behind, its result is in the store. */
  | 'acknowledged'

export type ExecOutcome =
  /** `oomKilled`: the kernel's out-of-memory killer struck in the sandbox while the command ran and it failed. */
  | { readonly type: 'exited'; readonly code: number; readonly oomKilled?: true }
  /** Stopped by Rollcall (cancelled, or ended before grading). */
  | { readonly type: 'signaled'; readonly signal: string }
  | { readonly type: 'timed-out' }
  /** Its fate is unknown or it never started; never repeated silently. */
  | { readonly type: 'lost'; readonly reason: LostReason }

/** One stream of a command as kept in memory: all of it, or head and tail. */
export interface CapturedOutput {
  /** All bytes when not truncated. */
  readonly head: Buffer
  /** Empty when not truncated. */
  readonly tail: Buffer
  /** How many bytes the command wrote. */
  readonly bytes: number
  readonly truncated: boolean
}

export interface ExecResult {
  readonly outcome: ExecOutcome
  readonly stdout: CapturedOutput
  readonly stderr: CapturedOutput
  /** Measured in the sandbox by its uptime clock, 10 ms resolution. */
  readonly durationMs: number
}

/** Calls of a grading attempt's phase: whoever reads what runs tells the tests by theirs. */
export const gradingCalls = {
  processes: 0,
  fresh: 1,
  upload: 2,
  tests: 3,
  reward: 4,
  rewardAgain: 5,
  commands: 6,
  artifacts: 7,
  grader: 8,
} as const
