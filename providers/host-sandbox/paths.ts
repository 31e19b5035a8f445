import { createHash } from 'node:crypto'
import { readFileSync } from 'node:fs'
import { join } from 'node:path'

/** Everything of one sandbox on this host. The directory is 0700: nobody else reaches what root inside makes setuid. */
export interface SandboxPaths {
  readonly directory: string
  /** `sandbox.json`: whose it is; there as soon as the directory is, never changed. */
  readonly record: string
  /** `process.json`: process 1; there as soon as it has been started, never changed. */
  readonly process: string
  /** Exit code of the whole sandbox, when it has ended. */
  readonly ended: string
  /** Held (flock) as long as a launcher is at work or process 1 lives. */
  readonly lock: string
  /** What bubblewrap and others said at the start. */
  readonly log: string
  /** What to mount (fstab(5)); only without bubblewrap. */
  readonly mounts: string
  /** `/` of the sandbox. */
  readonly root: string
  /** FIFOs; read-only inside, so that nothing inside can put a symbolic link where a worker opens a FIFO. */
  readonly channels: string
  readonly control: string
  /** Output and input files of commands. */
  readonly output: string
  /** Stands in the argument list of every process that starts the sandbox, and in no other. */
  readonly marker: string
}

export function sandboxPaths(home: string, name: string): SandboxPaths {
  return pathsOf(join(home, name))
}

export function pathsOf(directory: string): SandboxPaths {
  const channels = join(directory, 'channels')
  return {
    directory,
    record: join(directory, 'sandbox.json'),
    process: join(directory, 'process.json'),
    ended: join(directory, 'ended'),
    lock: join(directory, 'lock'),
    log: join(directory, 'run.log'),
    mounts: join(directory, 'mounts'),
    root: join(directory, 'root'),
    channels,
    control: join(channels, 'control'),
    output: join(directory, 'output'),
    marker: `rollcall-${createHash('sha256').update(directory).digest('hex').slice(0, 16)}`,
  }
}

/** The same places as commands inside see them. */
export const inside = {
  channels: '/run/rollcall/channels',
  journal: '/run/rollcall/journal',
  output: '/run/rollcall/output',
} as const

/** Absolute path of a shell program that stands beside this file. */
export function scriptPath(name: string): string {
  return join(import.meta.dirname, name)
}

export function scriptText(name: string): string {
  return readFileSync(scriptPath(name), 'utf8')
}
