import type { Duplex } from 'node:stream'
import { setTimeout as wait } from 'node:timers/promises'
import type Docker from 'dockerode'
import { RollcallError } from '../../protocol/failure.ts'
import { attachArgv } from '../../runner/scripts.ts'
import { hiddenProgram } from './hidden-program.ts'
import { lost, type ContainerLifecycle } from './container-lifecycle.ts'
import { runnerPlaces } from './container-options.ts'
import { isUnstarted, lifeOf } from './container-state.ts'
import { dockerError, isConflict, isNotFound } from './docker-errors.ts'
import { readPlace } from './docker-labels.ts'
import { execStream } from './exec-stream.ts'

/**
 * An attachment must stand after this long, or the Engine counts as not answering: an exec whose first process a root
 * inside has stopped holds the Engine up, and until that is over no other exec is begun in the container.
 */
const attachTimeoutMs = 20_000

/** A container may be paused this long (by an operator, by a backup) before it counts as lost. */
const pausedLimitMs = 30_000

/**
 * Opens one attachment to the runner: one exec of the Engine, as root, in `/`, because the working directory may have
 * been removed inside. Whether a sandbox is lost is decided by `inspect` alone.
 */
export async function attach(streams: Docker, lifecycle: ContainerLifecycle, name: string): Promise<Duplex> {
  const deadline = Date.now() + pausedLimitMs
  for (;;) {
    const workable = await requireRunning(lifecycle, name)
    const stream = workable.isPaused ? undefined : await tryAttach(streams, workable)
    if (stream !== undefined) return stream
    if (Date.now() > deadline)
      throw new RollcallError('sandbox-lost', `Container ${name} has been paused for ${pausedLimitMs} ms.`)
    await wait(100)
  }
}

export interface Workable {
  readonly id: string
  readonly name: string
  readonly isPaused: boolean
  readonly workdir: string
  readonly user?: string
}

/** @throws `sandbox-lost` */
export async function requireRunning(lifecycle: ContainerLifecycle, name: string): Promise<Workable> {
  const container = await lifecycle.inspect(name)
  if (container === undefined) throw new RollcallError('sandbox-lost', `Container ${name} is gone.`)
  if (isUnstarted(container)) throw new RollcallError('sandbox-lost', `Container ${name} was never started.`)
  if (lifeOf(container).state === 'dead') throw lost(container)
  return { id: container.Id, name, isPaused: container.State.Paused, ...readPlace(container.Config.Labels) }
}

/** @returns undefined when the container has been paused or has died since it was inspected. */
async function tryAttach(streams: Docker, container: Workable): Promise<Duplex | undefined> {
  const { workdir, user } = container
  const timeout = new AbortController()
  const timer = setTimeout(() => timeout.abort(), attachTimeoutMs)
  try {
    const attach = hiddenProgram(attachArgv({ ...runnerPlaces, workdir, ...(user !== undefined && { user }) }))
    const exec = await streams.getContainer(container.id).exec({
      Cmd: attach.argv,
      Env: attach.env,
      User: '0',
      WorkingDir: '/',
      AttachStdin: true,
      AttachStdout: true,
      AttachStderr: true,
      Tty: false,
      abortSignal: timeout.signal,
    })
    return execStream(await exec.start({ hijack: true, stdin: true, abortSignal: timeout.signal }))
  } catch (error) {
    // The connection of a refused exec stays open, and would keep this process from ending.
    timeout.abort()
    if (isConflict(error) || isNotFound(error)) return undefined
    throw dockerError(`attach to the container ${container.name}`, error)
  } finally {
    clearTimeout(timer)
  }
}
