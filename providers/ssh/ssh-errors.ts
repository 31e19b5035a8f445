import { RollcallError } from '../../protocol/failure.ts'
import type { FailureCode } from '../../protocol/failure.ts'
import { targetName } from './ssh-target.ts'
import type { SshTarget } from './ssh-target.ts'

/**
 * The one place that decides what an error of ssh2 means, by its `level` and the socket's code (facts/ssh.md).
 * @param doing What was attempted, to end the sentence: `connect`, `start a command`.
 */
export function sshError(target: SshTarget, doing: string, error: unknown): RollcallError {
  if (error instanceof RollcallError) return error
  const message = error instanceof Error ? error.message : String(error)
  return new RollcallError(codeOf(error), `${targetName(target)} could not ${doing}: ${message}${adviceFor(error)}`, {
    cause: error,
  })
}

/** The server had no more room for a session on this connection; another connection has. SSH_OPEN_CONNECT_FAILED */
export function isSessionLimit(error: unknown): boolean {
  return property(error, 'reason') === 2
}

/** The server dropped the connection before it spoke: too many were beginning at once (MaxStartups). */
export function isStartLimit(error: unknown): boolean {
  const level = property(error, 'level')
  const code = property(error, 'code')
  return level === 'protocol' || code === 'ECONNRESET' || code === 'EPIPE'
}

function codeOf(error: unknown): FailureCode {
  const level = property(error, 'level')
  if (level === 'client-authentication' || level === 'agent') return 'provider-auth'
  // ssh2 could not read the key, before anything was sent.
  if (error instanceof Error && error.message.startsWith('Cannot parse privateKey')) return 'provider-auth'
  return 'provider-unavailable'
}

function adviceFor(error: unknown): string {
  switch (property(error, 'level')) {
    case 'client-authentication':
      return '. Check user and key, password or agent.'
    case 'agent':
      return '. Check SSH_AUTH_SOCK, or name a key.'
  }
  switch (property(error, 'code')) {
    case 'ENOTFOUND':
      return '. Check the host name.'
    case 'ECONNREFUSED':
      return '. Check the port, and that sshd runs there.'
    default:
      return ''
  }
}

function property(error: unknown, name: string): unknown {
  return typeof error === 'object' && error !== null ? Reflect.get(error, name) : undefined
}
