import { RollcallError } from '../protocol/failure.ts'
import type { FailureCode } from '../protocol/failure.ts'

/** The only place that knows how S3, servers like it and the SDK word their errors. */

const missingCredentials = new Set(['CredentialsProviderError', 'TokenProviderError', 'ProviderError'])
const expiredCredentials = new Set(['ExpiredToken', 'ExpiredTokenException', 'TokenRefreshRequired'])
/** Some servers answer these with another status than AWS's 403; the last one is versitygw's. */
const refusedCredentials = new Set([
  'AccessDenied',
  'InvalidAccessKeyId',
  'InvalidToken',
  'SignatureDoesNotMatch',
  'XAdminUserNotFound',
])
const wrongRegion = new Set(['PermanentRedirect', 'AuthorizationHeaderMalformed', 'IllegalLocationConstraintException'])
const unreachable = new Set([
  'ECONNREFUSED',
  'ECONNRESET',
  'EHOSTUNREACH',
  'ENETUNREACH',
  'ENOTFOUND',
  'EAI_AGAIN',
  'EPIPE',
  'ETIMEDOUT',
])

/** No object has the key. A plain 404 is not enough: what answers may be no store at all. */
export const isAbsent = (error: unknown): boolean => nameOf(error) === 'NoSuchKey'

/** The same for a HEAD request, whose answer has no body that could say more. */
export const isAbsentFromHead = (error: unknown): boolean => isAbsent(error) || nameOf(error) === 'NotFound'

/** A conditional write found the key taken. */
export const isTaken = (error: unknown): boolean => nameOf(error) === 'PreconditionFailed' || statusOf(error) === 412

/** Another write of the key was under way; who has won is seen by looking again. */
export const isConflict = (error: unknown): boolean => statusOf(error) === 409

/** The upload is over: completed by a request whose answer was lost, or aborted by the bucket's rules. */
export const isUploadGone = (error: unknown): boolean => nameOf(error) === 'NoSuchUpload'

/**
 * What an error of the SDK means to somebody who runs jobs. What the operator must mend is `configuration-invalid`;
 * all else, also credentials that have expired, is `store-unavailable` and tried again.
 */
export function s3Failure(error: unknown, at: { url: string; key: string }): RollcallError {
  if (error instanceof RollcallError) return error
  const [code, what] = meaningOf(error)
  return new RollcallError(code, `The store ${at.url} failed at ${JSON.stringify(at.key)}: ${what}`, { cause: error })
}

function meaningOf(error: unknown): [FailureCode, string] {
  const name = nameOf(error)
  const status = statusOf(error)
  if (missingCredentials.has(name)) return ['configuration-invalid', credentialsAdvice]
  if (expiredCredentials.has(name)) {
    return [
      'store-unavailable',
      `the credentials have expired (${name}): start client and workers again with fresh ones`,
    ]
  }
  if (name === 'NoSuchBucket') {
    return ['configuration-invalid', 'its bucket does not exist: make it, or correct ROLLCALL_STORE']
  }
  if (wrongRegion.has(name) || status === 301) return ['configuration-invalid', regionAdvice(error)]
  if (status === 401 || status === 403 || refusedCredentials.has(name))
    return ['configuration-invalid', refusalAdvice(name)]
  if (status === 501) {
    return [
      'configuration-invalid',
      `the server does not know this request (${name}): it must support conditional writes`,
    ]
  }
  return ['store-unavailable', transientMeaning(error)]
}

const credentialsAdvice =
  'no AWS credentials were found here: set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, or AWS_PROFILE (and log in), ' +
  'for the client and for every worker'

function refusalAdvice(name: string): string {
  return (
    `the server refuses the credentials of this process (${name}): check them, and that they allow s3:ListBucket on ` +
    'the bucket and s3:GetObject, s3:PutObject and s3:AbortMultipartUpload on its objects'
  )
}

function regionAdvice(error: unknown): string {
  const region = fieldOf(fieldOf(fieldOf(error, '$response'), 'headers'), 'x-amz-bucket-region')
  const which = typeof region === 'string' ? region : 'its own'
  return `its bucket is in another region: put ?region=${which} into the URL, or set AWS_REGION`
}

function transientMeaning(error: unknown): string {
  const code = fieldOf(error, 'code')
  if (nameOf(error) === 'TimeoutError' || unreachable.has(String(code))) {
    return `the server does not answer (${typeof code === 'string' ? code : 'timeout'}): check that it runs, its endpoint and the network`
  }
  const status = statusOf(error)
  const answer = status === undefined ? '' : ` (HTTP ${status})`
  return `${nameOf(error)}: ${error instanceof Error ? error.message : String(error)}${answer}`
}

function nameOf(error: unknown): string {
  return error instanceof Error ? error.name : 'Error'
}

function statusOf(error: unknown): number | undefined {
  const status = fieldOf(fieldOf(error, '$metadata'), 'httpStatusCode')
  return typeof status === 'number' ? status : undefined
}

function fieldOf(value: unknown, name: string): unknown {
  return typeof value === 'object' && value !== null ? (Reflect.get(value, name) as unknown) : undefined
}
