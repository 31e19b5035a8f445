import { writeSync } from 'node:fs'

const stderr = 2

/**
 * A line of a worker's log, with its time. The log may stand on a disk that is full: then the line is lost, and not the
 * worker, which an error of `process.stderr` would end.
 */
export function writeLogLine(line: string): void {
  try {
    writeSync(stderr, `${new Date().toISOString()} ${line}\n`)
  } catch {
    // There is nobody left to tell.
  }
}
