/**
 * The one table of failure codes (design §9). A failure means: this rollout has no reward, and somebody has to act.
 * Retries come from here and from nowhere else. This file is imported by workflows, so it imports nothing.
 */

/** Who must act so that the failure does not happen again. */
export type Actor = 'author' | 'operator' | 'provider' | 'sandbox' | 'agent' | 'grader'

interface FailureKind {
  /** Who must act. */
  readonly actor: Actor
  /** Whether Temporal may run the activity again. */
  readonly retry: boolean
  /** One sentence for docs/failures.md. */
  readonly meaning: string
}

const kinds = {
  'task-invalid': { actor: 'author', retry: false, meaning: 'A task or taskset cannot be read or breaks its format.' },
  'runtime-unsupported': {
    actor: 'author',
    retry: false,
    meaning: 'The provider cannot honour a field of the task’s runtime.',
  },
  'image-build-failed': { actor: 'author', retry: false, meaning: 'The Dockerfile of the task does not build.' },
  'image-missing': { actor: 'author', retry: false, meaning: 'The image does not exist where the sandbox is made.' },
  'healthcheck-failed': {
    actor: 'author',
    retry: false,
    meaning: 'The health check of the task’s environment, or of one of its steps, did not pass in time.',
  },
  'step-setup-failed': {
    actor: 'author',
    retry: false,
    meaning: 'The setup.sh of a step failed, so that its agent was not started.',
  },
  'configuration-invalid': { actor: 'operator', retry: false, meaning: 'An option or a setting is wrong.' },
  'payload-too-large': {
    actor: 'operator',
    retry: false,
    meaning: 'A value of more than 256 KiB was about to enter a Temporal history.',
  },
  'store-unavailable': { actor: 'operator', retry: true, meaning: 'The store could not be read or written.' },
  'store-not-shared': {
    actor: 'operator',
    retry: false,
    meaning: 'The worker does not see what the client has just written: they use different stores.',
  },
  'secret-missing': {
    actor: 'operator',
    retry: false,
    meaning: 'A secret that a task names is not in the worker’s environment.',
  },
  'job-conflict': { actor: 'operator', retry: false, meaning: 'The job id is taken by a job with other options.' },
  'job-lost': { actor: 'operator', retry: false, meaning: 'Temporal no longer knows the unfinished job.' },
  'provider-unavailable': { actor: 'provider', retry: true, meaning: 'The provider does not answer.' },
  'provider-busy': { actor: 'provider', retry: true, meaning: 'The provider has no room or asks to slow down.' },
  'provider-auth': { actor: 'provider', retry: false, meaning: 'The provider refuses the credentials.' },
  'sandbox-conflict': {
    actor: 'operator',
    retry: false,
    meaning: 'A sandbox of that name belongs to another owner or was made from another specification.',
  },
  'sandbox-create-failed': { actor: 'provider', retry: false, meaning: 'The provider refused to make the sandbox.' },
  'sandbox-start-timeout': { actor: 'sandbox', retry: false, meaning: 'The sandbox was not ready in time.' },
  'sandbox-lost': { actor: 'sandbox', retry: false, meaning: 'The sandbox died or became unusable.' },
  'host-lost': { actor: 'provider', retry: false, meaning: 'No worker reaches the place where the sandbox is.' },
  'acquire-timeout': { actor: 'provider', retry: false, meaning: 'No sandbox was to be had within acquireTimeoutMs.' },
  'lease-lost': {
    actor: 'operator',
    retry: false,
    meaning: 'The lease of a slot has ended: it was released, was not renewed in time, or its sandbox died.',
  },
  'setup-failed': { actor: 'agent', retry: false, meaning: 'The agent’s installation in the sandbox failed.' },
  'agent-invalid': { actor: 'agent', retry: false, meaning: 'The agent cannot be loaded or breaks its contract.' },
  'agent-failed': { actor: 'agent', retry: false, meaning: 'The agent’s own code threw an error.' },
  'model-unavailable': {
    actor: 'provider',
    retry: true,
    meaning: 'The model’s service answers 429 or 5xx, or its answer broke off.',
  },
  'model-rejected': {
    actor: 'operator',
    retry: false,
    meaning: 'The model’s service refuses the request: key, model name or content.',
  },
  'reward-missing': { actor: 'grader', retry: false, meaning: 'The tests ended without writing a reward.' },
  'reward-invalid': {
    actor: 'grader',
    retry: false,
    meaning: 'The reward is empty, unparsable, not finite or not a regular file.',
  },
  'grader-timeout': { actor: 'grader', retry: false, meaning: 'The tests did not end in time.' },
  'grader-failed': { actor: 'grader', retry: false, meaning: 'The grader itself failed.' },
  'grade-tampered': {
    actor: 'grader',
    retry: false,
    meaning: 'The reward file changed after the test script had ended.',
  },
  'artifacts-missing': {
    actor: 'operator',
    retry: false,
    meaning: 'What was to be graded again is not in the store, or not whole.',
  },
  'integrity-too-weak': {
    actor: 'grader',
    retry: false,
    meaning: 'The grade is easier to forge than --require-integrity accepts.',
  },
  cancelled: { actor: 'operator', retry: false, meaning: 'The job was cancelled.' },
  internal: { actor: 'operator', retry: true, meaning: 'Rollcall itself has a bug; the message says where.' },
} as const satisfies Record<string, FailureKind>

/** Why a rollout has no reward; docs/failures.md says what each means and who must act. */
export type FailureCode = keyof typeof kinds

/** All codes with their actor, retryability and meaning, in the order of docs/failures.md. */
export const failureKinds: Readonly<Record<FailureCode, FailureKind>> = kinds

/** What is recorded about a failure and shown to the user. */
export interface Failure {
  readonly code: FailureCode
  readonly message: string
}

export function isFailureCode(value: unknown): value is FailureCode {
  return typeof value === 'string' && Object.hasOwn(kinds, value)
}

/** Codes that end one grading attempt; the workflow may grade again in the surviving sandbox. */
export function isGradingFailure(code: FailureCode): boolean {
  return kinds[code].actor === 'grader' && code !== 'grade-tampered' && code !== 'integrity-too-weak'
}

/**
 * The error that carries a code. Thrown by everything below the activities; the activity boundary turns it into
 * Temporal's ApplicationFailure with the code as its type.
 */
export class RollcallError extends Error {
  override readonly name = 'RollcallError'
  readonly code: FailureCode
  /** When to try again, if the other side said so. */
  readonly retryAfterMs: number | undefined
  /** There is no time left to try again, whatever the table says. */
  readonly isFinal: boolean

  constructor(
    code: FailureCode,
    message: string,
    options: { cause?: unknown; retryAfterMs?: number; isFinal?: boolean } = {},
  ) {
    super(message, options.cause === undefined ? undefined : { cause: options.cause })
    this.code = code
    this.retryAfterMs = options.retryAfterMs
    this.isFinal = options.isFinal ?? false
  }
}
