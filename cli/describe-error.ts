import { RollcallError } from '../protocol/failure.ts'
import { exitCodes } from './exit-codes.ts'

/** What a person and a script are told about an error: a RollcallError is one sentence, anything else is our bug. */
export function describeError(error: unknown, options: { debug: boolean }): { message: string; exitCode: number } {
  if (error instanceof RollcallError && error.code !== 'internal') {
    return { message: withDetails(error.message, error, options), exitCode: exitCodes.usage }
  }
  const text = error instanceof Error ? error.message : String(error)
  const hint = options.debug ? '' : ' Set ROLLCALL_DEBUG=1 and run it again to see where.'
  return { message: withDetails(`This is a bug of Rollcall: ${text}.${hint}`, error, options), exitCode: exitCodes.bug }
}

function withDetails(message: string, error: unknown, { debug }: { debug: boolean }): string {
  return debug && error instanceof Error ? `${message}\n${error.stack ?? ''}${causes(error)}` : message
}

function causes(error: Error): string {
  return error.cause instanceof Error ? `\ncaused by ${error.cause.stack ?? error.cause.message}` : ''
}
