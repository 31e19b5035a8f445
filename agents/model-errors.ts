import {
  APICallError,
  EmptyResponseBodyError,
  InvalidResponseDataError,
  JSONParseError,
  NoContentGeneratedError,
  TypeValidationError,
} from 'ai'
import { RollcallError } from '../protocol/failure.ts'

/** Statuses that say "not now" although they are below 500: request timeout, conflict, too early, too many. */
const temporaryStatuses = [408, 409, 425, 429]

/** A shorter one is no secret (`none`), and would be found in other words. */
const shortestKey = 8

interface Asked {
  readonly name: string
  readonly apiKey: string | undefined
}

/**
 * What a failed request to a model means, from its status and the kind of error, never from its words: asked again
 * later (`model-unavailable`) or refused (`model-rejected`). Anything else is a bug and passes through. A key that the
 * service repeats is hidden, since errors are stored and shown.
 */
export function modelError(error: unknown, model: Asked): unknown {
  if (APICallError.isInstance(error)) return callError(error, model)
  if (isBrokenAnswer(error)) return unavailable(model, 'its answer broke off', error)
  return error
}

function callError(error: APICallError, model: Asked): RollcallError {
  const { statusCode } = error
  if (statusCode === undefined) return unavailable(model, error.message, error)
  // A success that cannot be read is an answer that was cut on its way.
  if (statusCode < 400) return unavailable(model, 'its answer broke off', error)
  const reason = `HTTP ${statusCode}: ${oneLine(withoutKey(error.message, model))}`
  if (statusCode >= 500 || temporaryStatuses.includes(statusCode)) return unavailable(model, reason, error)
  return new RollcallError(
    'model-rejected',
    `Model ${model.name} refuses the request: ${reason}`,
    causeOf(error, model),
  )
}

function unavailable(model: Asked, reason: string, error: unknown): RollcallError {
  const retryAfterMs = APICallError.isInstance(error) ? retryAfter(error.responseHeaders ?? {}) : undefined
  return new RollcallError(
    'model-unavailable',
    `Model ${model.name} does not answer: ${oneLine(withoutKey(reason, model))}`,
    {
      ...causeOf(error, model),
      ...(retryAfterMs === undefined ? {} : { retryAfterMs }),
    },
  )
}

function withoutKey(text: string, { apiKey }: Asked): string {
  return apiKey === undefined || apiKey.length < shortestKey ? text : text.replaceAll(apiKey, '…')
}

/** A cause is stored with its message and stack. */
function causeOf(error: unknown, model: Asked): { cause?: unknown } {
  const message = error instanceof Error ? error.message : ''
  return withoutKey(message, model) === message ? { cause: error } : {}
}

function isBrokenAnswer(error: unknown): boolean {
  const kinds = [
    EmptyResponseBodyError,
    InvalidResponseDataError,
    JSONParseError,
    NoContentGeneratedError,
    TypeValidationError,
  ]
  return kinds.some((kind) => kind.isInstance(error))
}

/** `retry-after-ms`, or `retry-after` as seconds or as an HTTP date. */
function retryAfter(headers: Readonly<Record<string, string>>): number | undefined {
  const milliseconds = Number.parseFloat(headers['retry-after-ms'] ?? '')
  if (Number.isFinite(milliseconds)) return Math.max(0, milliseconds)
  const header = headers['retry-after']?.trim() ?? ''
  if (/^\d+(\.\d+)?$/.test(header)) return Number(header) * 1000
  const date = Date.parse(header)
  return Number.isNaN(date) ? undefined : Math.max(0, date - Date.now())
}

function oneLine(text: string): string {
  const line = text.replaceAll(/\s+/g, ' ').trim()
  return line.length <= 300 ? line : `${line.slice(0, 297)}...`
}
