import { RollcallError } from '../protocol/failure.ts'
import { exitCodes } from './exit-codes.ts'

/**
 * What a person and a script are told about an error: a RollcallError is one sentence, and so is what the operating system
 * says of folders, room and open files (its message names the path). Anything else is our bug.
 */
export function describeError(error: unknown, options: { debug: boolean }): { message: string; exitCode: number } {
  if (error instanceof RollcallError && error.code !== 'internal') {
    return { message: withDetails(error.message, error, options), exitCode: exitCodes.usage }
  }
  const text = error instanceof Error ? error.message : String(error)
  if (isRefusedBySystem(error)) {
    return {
      message: withDetails(`This machine does not let Rollcall: ${text}`, error, options),
      exitCode: exitCodes.usage,
    }
  }
  const hint = options.debug ? '' : ' Set ROLLCALL_DEBUG=1 and run it again to see where.'
  return { message: withDetails(`This is a bug of Rollcall: ${text}.${hint}`, error, options), exitCode: exitCodes.bug }
}

const refusals: ReadonlySet<unknown> = new Set([
  'EACCES',
  'EDQUOT',
  'EIO',
  'EMFILE',
  'ENFILE',
  'ENOMEM',
  'ENOSPC',
  'EPERM',
  'EROFS',
])

function isRefusedBySystem(error: unknown): boolean {
  return error instanceof Error && 'syscall' in error && 'code' in error && refusals.has(error.code)
}

function withDetails(message: string, error: unknown, { debug }: { debug: boolean }): string {
  return debug && error instanceof Error ? `${message}\n${error.stack ?? ''}${causes(error)}` : message
}

function causes(error: Error): string {
  return error.cause instanceof Error ? `\ncaused by ${error.cause.stack ?? error.cause.message}` : ''
}
