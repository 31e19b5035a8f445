import type { ClientEnvironment } from '../client/index.ts'
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
  readonly stdin: NodeJS.ReadStream
  readonly stdout: Output
  /** Progress, notes and errors; results go to stdout alone. */
  readonly stderr: Output
  readonly signals: Signals
  /** Milliseconds since 1970. */
  readonly now: () => number
}
