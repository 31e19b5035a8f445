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
 * A reader that has gone (`rollcall results x | head -1`) ends the output, not the command: a job may depend on it. Nor
 * do messages that cannot be written.
 */
function processOutput(
  stream: NodeJS.WriteStream,
  descriptor: number,
  env: Record<string, string | undefined>,
): Output {
  stream.on('error', (error: Error & { code?: string }) => {
    if (descriptor !== 2 && error.code !== 'EPIPE' && error.code !== 'ERR_STREAM_DESTROYED') throw error
  })
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
