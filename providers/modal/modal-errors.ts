import { RollcallError } from '../../protocol/failure.ts'
import type { FailureCode } from '../../protocol/failure.ts'

/** Status codes of gRPC, as the SDK's errors carry them in `code`. */
const status = {
  invalidArgument: 3,
  deadlineExceeded: 4,
  notFound: 5,
  alreadyExists: 6,
  permissionDenied: 7,
  resourceExhausted: 8,
  failedPrecondition: 9,
  unimplemented: 12,
  unauthenticated: 16,
} as const

/** How long to leave a provider alone that says "no room" and not for how long. */
const noRoomRetryMs = 15_000

/**
 * The one place that decides what an error of Modal's SDK means: by the name of its own classes, by the status code of
 * what comes from gRPC as it is, and by wording only where nothing else tells (facts/modal.md).
 *
 * @param doing What was attempted, to end the sentence: `create sandbox x`.
 * @param throttledMs How long the server asked to wait, where it did.
 */
export function modalError(doing: string, error: unknown, throttledMs?: number): RollcallError {
  if (error instanceof RollcallError) return error
  const code = codeOf(error, throttledMs)
  const retryAfterMs = code === 'provider-busy' ? (throttledMs ?? noRoomRetryMs) : undefined
  return new RollcallError(code, `Modal could not ${doing}: ${messageOf(error)}${adviceFor(code, error)}`, {
    // Not the error itself: a trace of it may hold metadata of the call, and those hold the token.
    cause: new Error(messageOf(error)),
    ...(retryAfterMs !== undefined && { retryAfterMs }),
  })
}

/** Nothing of that name or id is there, or no longer. */
export function isNotFound(error: unknown): boolean {
  return nameOf(error) === 'NotFoundError' || statusOf(error) === status.notFound
}

/** A running sandbox has the name already. */
export function isTaken(error: unknown): boolean {
  return nameOf(error) === 'AlreadyExistsError' || statusOf(error) === status.alreadyExists
}

/** It has ended, and nothing can be changed about it any more. */
export function isOver(error: unknown): boolean {
  return isNotFound(error) || nameOf(error) === 'ConflictError' || statusOf(error) === status.failedPrecondition
}

function codeOf(error: unknown, throttledMs: number | undefined): FailureCode {
  if (nameOf(error) === 'InvalidError') return 'sandbox-create-failed'
  if (nameOf(error) === 'ResourceExhaustedError') return 'provider-busy'
  if (isMissingCredential(error)) return 'provider-auth'
  if (/^Image build for \S+ failed/.test(messageOf(error))) {
    return isMissingImage(messageOf(error)) ? 'image-missing' : 'image-build-failed'
  }
  switch (statusOf(error)) {
    case status.unauthenticated:
    case status.permissionDenied:
      return 'provider-auth'
    case status.resourceExhausted:
      // A rate comes with a time to wait, a quota without one; that of money is not to be waited for.
      return throttledMs === undefined && isAboutMoney(messageOf(error)) ? 'sandbox-create-failed' : 'provider-busy'
    case status.invalidArgument:
    case status.failedPrecondition:
    case status.unimplemented:
      return 'sandbox-create-failed'
    default:
      return 'provider-unavailable'
  }
}

function adviceFor(code: FailureCode, error: unknown): string {
  if (code === 'provider-auth') return '. Check MODAL_TOKEN_ID, MODAL_TOKEN_SECRET and the environment.'
  if (code === 'image-missing') return '\nCheck the name; a private registry needs --provider-arg registry-secret=NAME.'
  if (statusOf(error) !== status.resourceExhausted) return ''
  return code === 'provider-busy'
    ? ' (a rate limit or quota of the account, not an outage)'
    : ' (a limit of what the account may spend, not an outage)'
}

function isMissingCredential(error: unknown): boolean {
  return /token ?(id|secret)|credentials/i.test(messageOf(error)) && statusOf(error) === undefined
}

function isMissingImage(message: string): boolean {
  return /manifest unknown|manifest for .* not found|repository does not exist|pull access denied/i.test(message)
}

function isAboutMoney(message: string): boolean {
  return /billing|spend limit|payment|credits/i.test(message)
}

/** The server's own sentence where there is one. */
function messageOf(error: unknown): string {
  const details = property(error, 'details')
  if (typeof details === 'string' && details !== '') return details
  return error instanceof Error ? error.message : String(error)
}

function nameOf(error: unknown): unknown {
  return error instanceof Error ? error.name : undefined
}

function statusOf(error: unknown): number | undefined {
  const code = property(error, 'code')
  return typeof code === 'number' ? code : undefined
}

function property(error: unknown, name: string): unknown {
  return typeof error === 'object' && error !== null ? Reflect.get(error, name) : undefined
}
