import { RollcallError, type FailureCode } from '../../protocol/failure.ts'

/** HTTP status of an Engine's answer, or undefined when there was no answer. */
export function statusOf(error: unknown): number | undefined {
  return readProperty(error, 'statusCode', 'number')
}

export function isNotFound(error: unknown): boolean {
  return statusOf(error) === 404
}

/** 304: the container has been started, or stopped, already. */
export function isAlreadyDone(error: unknown): boolean {
  return statusOf(error) === 304
}

export function isConflict(error: unknown): boolean {
  return statusOf(error) === 409
}

/**
 * The one place that decides what an Engine's error means: first by the socket's error code, then by HTTP status. The
 * Engine answers 500 to very different things, so a few of its sentences are told apart by text; an unknown one means
 * that the Engine has trouble and the call may be repeated.
 *
 * @param doing What was attempted, to begin the message: `create container x`.
 */
export function dockerError(doing: string, error: unknown): RollcallError {
  if (error instanceof RollcallError) return error
  const socketCode = statusOf(error) === undefined ? readProperty(error, 'code', 'string') : undefined
  const code = socketCode === undefined ? codeOfAnswer(error) : codeOfSocket(socketCode)
  return new RollcallError(code, `Docker could not ${doing}: ${messageOf(error)}${adviceFor(socketCode)}`, {
    cause: error,
  })
}

/** What the Engine said, without the client library's frame around it. */
export function messageOf(error: unknown): string {
  const message = error instanceof Error ? error.message : String(error)
  return message.replace(/^\(HTTP code \d+\) [^-]* - /, '').trim()
}

/** True for a pull that never reached the registry, as the Engine words it. */
function isRegistryUnreachable(message: string): boolean {
  return /dial tcp|no such host|connection refused|i\/o timeout|TLS handshake|Client\.Timeout|EOF$/.test(message)
}

/** True for a pull of something that the registry does not have, or does not show without a login. */
function isMissingInRegistry(message: string): boolean {
  return /manifest unknown|manifest for .* not found|repository does not exist|pull access denied/.test(message)
}

function codeOfSocket(socketCode: string): FailureCode {
  return socketCode === 'EACCES' || socketCode === 'EPERM' ? 'provider-auth' : 'provider-unavailable'
}

function codeOfAnswer(error: unknown): FailureCode {
  const message = messageOf(error)
  if (/no space left on device|toomanyrequests|no available IPv4 addresses/i.test(message)) return 'provider-busy'
  switch (statusOf(error)) {
    case 400:
      return 'sandbox-create-failed'
    case 401:
    case 403:
      return 'provider-auth'
    case 404:
      return message.startsWith('No such image') ? 'image-missing' : 'sandbox-lost'
    case 429:
      return 'provider-busy'
    case 500:
      return /OCI runtime|unable to find user|runc/.test(message) ? 'sandbox-create-failed' : 'provider-unavailable'
    default:
      return 'provider-unavailable'
  }
}

function adviceFor(socketCode: string | undefined): string {
  switch (socketCode) {
    case 'ENOENT':
    case 'ECONNREFUSED':
      return '. Start the Docker Engine, set DOCKER_HOST if it is elsewhere, or use --provider local, which needs none.'
    case 'EACCES':
      return '. This user may not use the Docker socket; add it to the group docker.'
    default:
      return ''
  }
}

function readProperty(error: unknown, name: string, type: 'number'): number | undefined
function readProperty(error: unknown, name: string, type: 'string'): string | undefined
function readProperty(error: unknown, name: string, type: string): unknown {
  if (typeof error !== 'object' || error === null) return undefined
  const value: unknown = Reflect.get(error, name)
  return typeof value === type ? value : undefined
}

const registryAdvice = 'Load the image into the Engine, or name a mirror with --image-map FROM=TO.'

/** What a failed pull means. The Engine wraps the registry's answer in a 404 or a 500 with text. */
export function pullError(name: string, error: unknown): RollcallError {
  const message = messageOf(error)
  if (isMissingInRegistry(message) || isNotFound(error)) {
    return new RollcallError('image-missing', `Image ${name}: the registry does not have it (${message}).`, {
      cause: error,
    })
  }
  if (isRegistryUnreachable(message)) {
    return new RollcallError(
      'provider-unavailable',
      `Image ${name} is not on this Engine, and its registry is out of reach (${message}). ${registryAdvice}`,
      { cause: error },
    )
  }
  return dockerError(`pull the image ${name}`, error)
}

/** What a failed build means, from BuildKit's own sentence; `lines` is the end of the build's log. */
export function buildError(message: string, lines: readonly string[]): RollcallError {
  const code = codeOfBuild(message)
  const advice = code === 'provider-unavailable' ? `. ${registryAdvice}` : ''
  const log = lines.length === 0 ? '' : `\n${lines.join('\n')}`
  return new RollcallError(code, `The image does not build: ${message}${advice}${log}`)
}

function codeOfBuild(message: string): FailureCode {
  if (/executor failed running|did not complete successfully/.test(message)) return 'image-build-failed'
  if (/no space left on device/.test(message)) return 'provider-busy'
  if (isRegistryUnreachable(message)) return 'provider-unavailable'
  const isBaseMissing = /(LLB definition|resolve source metadata).*: not found$/.test(message)
  return isBaseMissing || isMissingInRegistry(message) ? 'image-missing' : 'image-build-failed'
}
