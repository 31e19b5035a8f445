import type { Readable } from 'node:stream'
import { setTimeout as wait } from 'node:timers/promises'
import type Docker from 'dockerode'
import type { Container, ContainerCreateOptions, ContainerInfo, ContainerInspectInfo } from 'dockerode'
import { RollcallError } from '../../protocol/failure.ts'
import { nameOf } from './container-state.ts'
import { dockerError, isAlreadyDone, isConflict, isNotFound } from './docker-errors.ts'

/** Calls of the Engine about containers, each with its errors in Rollcall's terms. */

/** How long a name may be taken by nothing that can be inspected. */
const conflictTimeoutMs = 30_000

/** The Engine lives, but has kept a call about one container waiting: something inside holds it up. */
export class UnansweredError extends RollcallError {
  constructor(doing: string) {
    super('provider-unavailable', `Docker did not answer in time when asked to ${doing}.`)
  }
}

/** @throws UnansweredError */
export async function inspectContainer(
  docker: Docker,
  name: string,
  answerTimeoutMs: number,
): Promise<ContainerInspectInfo | undefined> {
  const abortSignal = AbortSignal.timeout(answerTimeoutMs)
  try {
    const container = await docker.getContainer(name).inspect({ abortSignal })
    // The Engine also finds containers by the beginning of their id.
    return nameOf(container) === name ? container : undefined
  } catch (error) {
    if (isNotFound(error)) return undefined
    if (abortSignal.aborted) throw new UnansweredError(`inspect the container ${name}`)
    throw dockerError(`inspect the container ${name}`, error)
  }
}

/**
 * @returns false when the name is taken. The Engine reserves a name before the container can be inspected, and frees
 * it after its removal, so there are moments in which it is neither free nor found.
 */
export async function createContainer(
  docker: Docker,
  options: ContainerCreateOptions & { name: string },
): Promise<boolean> {
  const deadline = Date.now() + conflictTimeoutMs
  for (;;) {
    try {
      await docker.createContainer(options)
      return true
    } catch (error) {
      if (!isConflict(error) || Date.now() > deadline) throw dockerError(`create the container ${options.name}`, error)
      if ((await inspectContainer(docker, options.name, conflictTimeoutMs)) !== undefined) return false
      await wait(10)
    }
  }
}

/** One that runs already is fine. */
export async function startContainer(docker: Docker, name: string): Promise<void> {
  try {
    await docker.getContainer(name).start()
  } catch (error) {
    if (!isAlreadyDone(error)) throw dockerError(`start the container ${name}`, error)
  }
}

/** `unanswered` may be a removal that takes its time, or one that never ends. */
export async function removeContainer(
  container: Container,
  answerTimeoutMs: number,
): Promise<'removed' | 'under-way' | 'unanswered'> {
  const abortSignal = AbortSignal.timeout(answerTimeoutMs)
  try {
    await container.remove({ force: true, v: true, abortSignal })
    return 'removed'
  } catch (error) {
    if (isNotFound(error)) return 'removed'
    if (isConflict(error)) return 'under-way'
    if (abortSignal.aborted) return 'unanswered'
    throw dockerError(`remove the container ${container.id}`, error)
  }
}

export async function hasFile(container: Container, path: string): Promise<boolean> {
  try {
    const answer: Readable = await container.infoArchive({ path })
    // It has no body, and yet holds its connection, and with it this process, until it is read to its end.
    answer.resume()
    return true
  } catch (error) {
    if (isNotFound(error)) return false
    throw dockerError(`look at ${path} in the container ${container.id}`, error)
  }
}

/** Dead ones too. */
export async function listContainers(
  docker: Docker,
  filters: { readonly label?: string[]; readonly name?: string[] },
): Promise<ContainerInfo[]> {
  try {
    return await docker.listContainers({ all: true, filters: { ...filters } })
  } catch (error) {
    throw dockerError('list containers', error)
  }
}
