import type { Duplex } from 'node:stream'
import { finished } from 'node:stream/promises'
import { setTimeout as wait } from 'node:timers/promises'
import type Docker from 'dockerode'
import type { Exec } from 'dockerode'
import type { ShellUser } from '../contract/provider.ts'
import { requireRunning } from './attachment.ts'
import type { ContainerLifecycle } from './container-lifecycle.ts'
import { dockerError } from './docker-errors.ts'

const exitTimeoutMs = 2_000
const resizeAgainMs = 200

/** Ends a shell that waits at its prompt: what a terminal sends for Ctrl-D. */
const endOfTransmission = Buffer.from([4])

export interface ShellTarget {
  /** For streams, which may be silent for as long as they like. */
  readonly streams: Docker
  readonly lifecycle: ContainerLifecycle
  readonly name: string
}

/**
 * Lets a person into a container: one exec of the Engine, with a terminal where the person has one. Whoever goes away
 * without leaving the shell leaves it behind until the container goes; the Engine does not end it.
 */
export async function enterContainer(target: ShellTarget, user: ShellUser): Promise<number> {
  const { streams, lifecycle, name } = target
  const container = await requireRunning(lifecycle, name)
  try {
    const exec = await streams.getContainer(container.id).exec({
      Cmd: ['/bin/sh', '-c', entryScript(user), 'shell', container.workdir, user.command ?? ''],
      Env: user.isTerminal ? [`TERM=${user.terminalType}`] : [],
      User: user.user ?? container.user ?? '0',
      WorkingDir: '/',
      AttachStdin: true,
      AttachStdout: true,
      AttachStderr: true,
      Tty: user.isTerminal,
    })
    const socket = await exec.start({ hijack: true, stdin: true, Tty: user.isTerminal })
    await (user.isTerminal ? relayTerminal(exec, socket, user) : relayPipes(streams, socket, user))
    return await exitCodeOf(exec)
  } catch (error) {
    throw dockerError(`open a shell in the container ${name}`, error)
  }
}

/** The Engine closes the stream a moment before it knows how the shell has ended. */
async function exitCodeOf(exec: Exec): Promise<number> {
  for (const deadline = Date.now() + exitTimeoutMs; ; await wait(10)) {
    const { Running, ExitCode } = await exec.inspect()
    if (!Running || Date.now() > deadline) return ExitCode ?? 0
  }
}

/** The working directory may have been removed inside: then it is `/`. */
function entryScript({ command }: ShellUser): string {
  const enter = 'cd "$1" 2>/dev/null'
  if (command !== undefined) return `${enter}; exec /bin/sh -c "$2"`
  return `${enter}; if command -v bash >/dev/null; then exec bash; else exec /bin/sh; fi`
}

async function relayTerminal(exec: Exec, socket: Duplex, user: ShellUser): Promise<void> {
  const { stdin, stdout } = user
  const over = new AbortController()
  const resize = sizeTeller(exec, stdout, over.signal)
  const leave = () => void socket.end(endOfTransmission)
  stdin.setRawMode(true)
  resize()
  stdout.on('resize', resize)
  stdin.once('end', leave)
  stdin.pipe(socket, { end: false })
  socket.pipe(stdout, { end: false })
  try {
    await finished(socket, { writable: false })
  } finally {
    over.abort()
    stdin.unpipe(socket).off('end', leave).setRawMode(false)
    stdin.pause()
    stdout.off('resize', resize)
  }
}

/** Tells the Engine the terminal's size: one call at a time, since calls may overtake each other, until one succeeds. */
function sizeTeller(exec: Exec, stdout: ShellUser['stdout'], over: AbortSignal): () => void {
  let telling = false
  let told = ''
  const tell = async (): Promise<void> => {
    telling = true
    while (!over.aborted && told !== `${stdout.rows} ${stdout.columns}`) {
      const { rows: h, columns: w } = stdout
      try {
        await exec.resize({ h, w })
        told = `${h} ${w}`
      } catch {
        await wait(resizeAgainMs)
      }
    }
    telling = false
  }
  return () => {
    if (!telling) void tell()
  }
}

async function relayPipes(streams: Docker, socket: Duplex, user: ShellUser): Promise<void> {
  streams.modem.demuxStream(socket, user.stdout, user.stderr)
  user.stdin.pipe(socket)
  await finished(socket, { writable: false })
  user.stdin.unpipe(socket)
  user.stdin.pause()
}
