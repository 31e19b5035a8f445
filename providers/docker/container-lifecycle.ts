import { setTimeout as wait } from 'node:timers/promises'
import type Docker from 'dockerode'
import type { Container, ContainerInspectInfo } from 'dockerode'
import pLimit from 'p-limit'
import { RollcallError } from '../../protocol/failure.ts'
import type { CreateRequest, FoundSandbox, Ownership } from '../contract/provider.ts'
import { containerOptions, startedMark } from './container-options.ts'
import { describeEnd, isUnstarted, lifeOf, nameOf, toFoundSandbox, toRunningSandbox } from './container-state.ts'
import { dockerError, isAlreadyDone, isConflict, isNotFound } from './docker-errors.ts'
import { labelFilter, readOwnership } from './docker-labels.ts'
import type { ResolvedImage } from './image-resolver.ts'

/** More creations, starts and removals at once than this make each of them slower and nothing faster. */
const lifecycleCallsAtOnce = 4

/** How long a name may be taken by nothing that can be inspected. */
const conflictTimeoutMs = 30_000

/** How long a removal may take until it is called a failure of the Engine. */
const removalTimeoutMs = 60_000

export interface ContainerLifecycle {
  /** @returns undefined when there is none, or one of that name that Rollcall did not make. */
  readonly find: (name: string) => Promise<FoundSandbox | undefined>
  readonly inspect: (name: string) => Promise<ContainerInspectInfo | undefined>
  /** Takes the container of that name over if it is the one asked for, starting it where nobody has yet. */
  readonly adopt: (request: CreateRequest) => Promise<FoundSandbox | undefined>
  /** Creates and starts; one that is there already is adopted. Once it has begun, the signal changes nothing. */
  readonly create: (request: CreateRequest, image: ResolvedImage, signal: AbortSignal) => Promise<FoundSandbox>
  /** Returns when it is verified gone. */
  readonly destroy: (name: string) => Promise<void>
  readonly list: (labels: Partial<Ownership>) => Promise<FoundSandbox[]>
}

export function createContainerLifecycle(docker: Docker): ContainerLifecycle {
  const limit = pLimit(lifecycleCallsAtOnce)
  /** Ids of images that a container of this process has run the supervisor from. */
  const provenImages = new Set<string>()

  async function inspect(name: string): Promise<ContainerInspectInfo | undefined> {
    try {
      const container = await docker.getContainer(name).inspect()
      // The Engine also finds containers by the beginning of their id.
      return nameOf(container) === name ? container : undefined
    } catch (error) {
      if (isNotFound(error)) return undefined
      throw dockerError(`inspect the container ${name}`, error)
    }
  }

  async function find(name: string): Promise<FoundSandbox | undefined> {
    const container = await inspect(name)
    return container && toFoundSandbox(container)
  }

  async function adopt(request: CreateRequest): Promise<FoundSandbox | undefined> {
    const container = await inspect(request.name)
    if (container === undefined) return undefined
    refuseForeign(container, request.ownership)
    if (isUnstarted(container)) {
      await limit(() => start(request.name))
      return find(request.name)
    }
    if (lifeOf(container).state === 'dead') throw lost(container)
    return toFoundSandbox(container)
  }

  async function create(request: CreateRequest, image: ResolvedImage, signal: AbortSignal): Promise<FoundSandbox> {
    await limit(async () => {
      signal.throwIfAborted()
      request.onProgress?.('starting')
      if (await createContainer(containerOptions(request, image))) await start(request.name)
    })
    const sandbox = await adopt(request)
    if (sandbox === undefined) throw new RollcallError('sandbox-lost', `Container ${request.name} was removed at once.`)
    if (!provenImages.has(image.id)) await proveStart(request.name)
    provenImages.add(image.id)
    return sandbox
  }

  /**
   * The Engine calls a container started when its init runs, which only then finds out whether the image has a shell.
   * Asked once per image, since it takes as long as the start of the shell.
   */
  async function proveStart(name: string): Promise<void> {
    for (;;) {
      const container = await inspect(name)
      if (container === undefined) throw new RollcallError('sandbox-lost', `Container ${name} was removed at once.`)
      if (lifeOf(container).state === 'dead') throw lost(container)
      if (await hasFile(docker.getContainer(name), startedMark)) return
      await wait(5)
    }
  }

  /**
   * @returns false when the name is taken. The Engine reserves a name before the container can be inspected, and frees
   * it after its removal, so between the two there is a moment in which it is neither free nor found.
   */
  async function createContainer(options: Docker.ContainerCreateOptions & { name: string }): Promise<boolean> {
    const deadline = Date.now() + conflictTimeoutMs
    for (;;) {
      try {
        await docker.createContainer(options)
        return true
      } catch (error) {
        if (!isConflict(error) || Date.now() > deadline)
          throw dockerError(`create the container ${options.name}`, error)
        if ((await inspect(options.name)) !== undefined) return false
        await wait(10)
      }
    }
  }

  async function start(name: string): Promise<void> {
    try {
      await docker.getContainer(name).start()
    } catch (error) {
      if (!isAlreadyDone(error)) throw dockerError(`start the container ${name}`, error)
    }
  }

  async function destroy(name: string): Promise<void> {
    const deadline = Date.now() + removalTimeoutMs
    for (let delayMs = 10; Date.now() < deadline; delayMs = Math.min(delayMs * 2, 500)) {
      const container = await inspect(name)
      if (container === undefined || readOwnership(container.Config.Labels) === undefined) return
      const isRemoved = await limit(() => remove(docker.getContainer(container.Id)))
      if (!isRemoved) await wait(delayMs)
    }
    throw new RollcallError(
      'provider-unavailable',
      `Container ${name} is still there ${removalTimeoutMs} ms after its removal began.`,
    )
  }

  async function list(labels: Partial<Ownership>): Promise<FoundSandbox[]> {
    const containers = await listContainers(docker, labelFilter(labels))
    const sandboxes = await Promise.all(
      containers.map(async (container) => {
        const running = toRunningSandbox(container)
        return running ?? find(container.Names[0]?.slice(1) ?? container.Id)
      }),
    )
    return sandboxes.filter((sandbox) => sandbox !== undefined)
  }

  return { find, inspect, adopt, create, destroy, list }
}

async function hasFile(container: Container, path: string): Promise<boolean> {
  try {
    await container.infoArchive({ path })
    return true
  } catch (error) {
    if (isNotFound(error)) return false
    throw dockerError(`look at ${path} in the container ${container.id}`, error)
  }
}

/** @returns false when another removal is under way. */
async function remove(container: Container): Promise<boolean> {
  try {
    await container.remove({ force: true, v: true })
    return true
  } catch (error) {
    if (isNotFound(error)) return true
    if (isConflict(error)) return false
    throw dockerError(`remove the container ${container.id}`, error)
  }
}

async function listContainers(docker: Docker, label: string[]): Promise<Docker.ContainerInfo[]> {
  try {
    return await docker.listContainers({ all: true, filters: { label } })
  } catch (error) {
    throw dockerError('list containers', error)
  }
}

function refuseForeign(container: ContainerInspectInfo, wanted: Ownership): void {
  const found = readOwnership(container.Config.Labels)
  if (found?.owner === wanted.owner && found.spec === wanted.spec) return
  const name = nameOf(container)
  const owner = found === undefined ? 'nobody of Rollcall' : `${found.owner} of ${found.workflow}`
  const detail = found?.owner === wanted.owner ? ' from another specification' : ''
  throw new RollcallError(
    'sandbox-conflict',
    `Container ${name} belongs to ${owner}${detail}, expected ${wanted.owner} of ${wanted.workflow}; remove it or use another job id.`,
  )
}

/** A main process that could not even be started says so with its exit code; the supervisor has no such code. */
export function lost(container: ContainerInspectInfo): RollcallError {
  if ([126, 127].includes(container.State.ExitCode)) {
    return new RollcallError('sandbox-create-failed', `Image ${container.Image}: expected a POSIX sh and mkdir in it.`)
  }
  return new RollcallError('sandbox-lost', `Container ${nameOf(container)} ${describeEnd(container)}.`)
}
