import { join } from 'node:path'
import { pathToFileURL } from 'node:url'
import { cacheDirectory, stateDirectory } from '../protocol/directories.ts'
import type { ClientEnvironment } from './client-types.ts'
import type { Signals } from './signals.ts'

/** One of the two output streams of a command. Writing to a reader that has gone away is not an error. */
export interface Output {
  write(text: string): void
  /** The stream itself, for drawing on a terminal. */
  readonly stream: NodeJS.WriteStream
  readonly isTTY: boolean
  readonly color: boolean
  /** The terminal's size now; 80 × 24 where it is not known. */
  size(): { columns: number; rows: number }
}

/** Everything a command may touch of its process; made in main.ts, so that commands can be run by tests. */
export interface CommandContext {
  readonly environment: ClientEnvironment
  readonly stdout: Output
  /** Progress, notes and errors; results go to stdout alone. */
  readonly stderr: Output
  readonly signals: Signals
  /** Milliseconds since 1970. */
  readonly now: () => number
}

/** Where state, cache and store are, from the caller's environment. */
export function clientEnvironment(env: Record<string, string | undefined>): ClientEnvironment {
  const state = stateDirectory(env)
  const storeUrl = env['ROLLCALL_STORE'] || pathToFileURL(join(state, 'store')).href
  return { env, stateDirectory: state, cacheDirectory: cacheDirectory(env), storeUrl }
}
