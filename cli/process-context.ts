import { isatty } from 'node:tty'
import { environmentOfProcess } from '../client/environment.ts'
import type { CommandContext, Output } from './context.ts'
import type { Signals } from './signals.ts'

/** The context of a real process. */
export function processContext(process: NodeJS.Process): CommandContext {
  return {
    environment: environmentOfProcess(process.env),
    // Opened only by the command that reads it.
    get stdin() {
      return process.stdin
    },
    stdout: processOutput(process.stdout, 1, process.env),
    stderr: processOutput(process.stderr, 2, process.env),
    signals: processSignals(process),
    now: Date.now,
  }
}

/**
 * Output that cannot be written ends the output, not the command: a job may depend on it. Whether all of it was written
 * is for `watchOutput` to tell.
 */
function processOutput(
  stream: NodeJS.WriteStream,
  descriptor: number,
  env: Record<string, string | undefined>,
): Output {
  stream.on('error', () => {})
  const isTTY = isatty(descriptor)
  return {
    stream,
    isTTY,
    color: isTTY && !env['NO_COLOR'] && env['TERM'] !== 'dumb',
    write: (text) => {
      if (stream.writable) stream.write(text)
    },
    size: () => ({ columns: stream.columns || 80, rows: stream.rows || 24 }),
  }
}

/**
 * Watches a stream from now on. What comes back tells, when all has been tried, why not everything was written: a full
 * disk, for instance. A reader that has gone (`| head -1`) is no reason.
 */
export function watchOutput(stream: NodeJS.WriteStream): () => Promise<Error | undefined> {
  let failure: Error | undefined
  stream.on('error', (error: Error & { code?: string }) => {
    if (error.code !== 'EPIPE' && error.code !== 'ERR_STREAM_DESTROYED') failure ??= error
  })
  return async () => {
    await new Promise<void>((resolve) => stream.write('', () => setImmediate(resolve)))
    return failure
  }
}

function processSignals(process: NodeJS.Process): Signals {
  return {
    listen: (handler) => {
      const names = ['SIGINT', 'SIGTERM', 'SIGHUP'] as const
      for (const name of names) process.on(name, handler)
      return () => {
        for (const name of names) process.off(name, handler)
      }
    },
  }
}
