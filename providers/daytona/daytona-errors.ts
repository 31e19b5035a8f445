import { RollcallError, type FailureCode } from '../../protocol/failure.ts'

/** HTTP status of an answer, or undefined when there was none. */
export function statusOf(error: unknown): number | undefined {
  const status = property(error, 'statusCode')
  return typeof status === 'number' ? status : undefined
}

export function isNotFound(error: unknown): boolean {
  return statusOf(error) === 404
}

export function isConflict(error: unknown): boolean {
  return statusOf(error) === 409
}

/**
 * The one place that decides what an error of Daytona's SDK means: by HTTP status, and where Daytona answers one status
 * to very different things, by its own sentences (facts/daytona.md; fixtures/errors.json). No status means that there was
 * no answer: nobody knows whether the call has had its effect.
 *
 * @param doing What was attempted, to end the sentence: `create sandbox x`.
 */
export function daytonaError(doing: string, error: unknown): RollcallError {
  if (error instanceof RollcallError) return error
  const message = messageOf(error)
  const code = codeOf(statusOf(error), message)
  const retryAfterMs = code === 'provider-busy' ? retryAfter(property(error, 'headers')) : undefined
  return new RollcallError(code, `Daytona could not ${doing}: ${message}${adviceFor(code)}`, {
    cause: error,
    ...(retryAfterMs !== undefined && { retryAfterMs }),
  })
}

/** What a sandbox says of itself that did not come up. */
export function startError(name: string, state: string, reason: string): RollcallError {
  const said = reason === '' ? '' : `: ${reason}`
  return new RollcallError(codeOfStart(state, reason), `Sandbox ${name} did not start at Daytona (${state})${said}`)
}

function codeOfStart(state: string, reason: string): FailureCode {
  if (
    /manifest unknown|manifest for .* not found|pull access denied|repository does not exist|: not found$/.test(reason)
  )
    return 'image-missing'
  if (state === 'build_failed') return 'image-build-failed'
  return /No available runners|no runners? available/i.test(reason) ? 'provider-busy' : 'sandbox-create-failed'
}

function codeOf(status: number | undefined, message: string): FailureCode {
  if (status === undefined) return codeWithoutAnswer(message)
  if (status === 400 || status === 422) return codeOfRefusal(message)
  if (status === 401 || status === 403) return 'provider-auth'
  if (status === 404) return /snapshot/i.test(message) ? 'image-missing' : 'sandbox-lost'
  if (status === 429) return 'provider-busy'
  return 'provider-unavailable'
}

/** The SDK itself refuses a build context that names a file which is not there. */
function codeWithoutAnswer(message: string): FailureCode {
  return /^Path does not exist: |^forbidden path outside the build context/.test(message)
    ? 'image-build-failed'
    : 'provider-unavailable'
}

/**
 * The organisation's total is taken up by what runs now, and there is room when something of it has ended. What one
 * sandbox may never have is the order's own fault.
 */
function codeOfRefusal(message: string): FailureCode {
  if (/^Total (CPU|memory|disk|GPU) limit exceeded/i.test(message)) return 'provider-busy'
  if (/exceeds maximum allowed per sandbox|per-sandbox/i.test(message)) return 'runtime-unsupported'
  if (/No available runners/i.test(message)) return 'provider-busy'
  if (/^Snapshot .* (not found|is not active)/i.test(message)) return 'image-missing'
  return 'sandbox-create-failed'
}

function adviceFor(code: FailureCode): string {
  return code === 'provider-auth' ? '. Check DAYTONA_API_KEY, its permissions and the state of the organisation.' : ''
}

/** `Retry-After` and `Retry-After-<throttler>`, seconds or a date; the longest of them in milliseconds. */
export function retryAfter(headers: unknown): number | undefined {
  if (typeof headers !== 'object' || headers === null) return undefined
  const waits = Object.entries(headers)
    .filter(([name]) => /^retry-after(-|$)/i.test(name))
    .map(([, value]) => waitOf(String(value)))
    .filter((waitMs) => Number.isFinite(waitMs))
  return waits.length === 0 ? undefined : Math.max(0, ...waits)
}

function waitOf(value: string): number {
  return /^\d+(\.\d+)?$/.test(value) ? Number(value) * 1_000 : Date.parse(value) - Date.now()
}

/** What fetch says of a connection is only that it failed; its cause says why. */
function messageOf(error: unknown): string {
  if (!(error instanceof Error)) return String(error)
  return error.message === 'fetch failed' && error.cause instanceof Error ? error.cause.message : error.message
}

function property(error: unknown, name: string): unknown {
  return typeof error === 'object' && error !== null ? Reflect.get(error, name) : undefined
}
