import { setTimeout as wait } from 'node:timers/promises'
import type Docker from 'dockerode'
import type { ContainerInfo, ContainerInspectInfo } from 'dockerode'
import pLimit from 'p-limit'
import { RollcallError } from '../../protocol/failure.ts'
import type { CreateRequest, FoundSandbox, Ownership } from '../contract/provider.ts'
import {
  createContainer,
  hasFile,
  inspectContainer,
  listContainers,
  removeContainer,
  startContainer,
  UnansweredError,
} from './container-calls.ts'
import { containerOptions, startedMark } from './container-options.ts'
import { describeEnd, isUnstarted, lifeOf, nameOf, toFoundSandbox, toRunningSandbox } from './container-state.ts'
import { labelFilter, readOwnership } from './docker-labels.ts'
import { killFromOutside, type KnownContainer } from './forced-end.ts'
import type { ResolvedImage } from './image-resolver.ts'

/** More creations, starts and removals at once than this make each of them slower and nothing faster. */
const lifecycleCallsAtOnce = 4

/** How long a removal may take until it is called a failure of the Engine. */
const removalTimeoutMs = 120_000

/**
 * How long the Engine may take to answer about one container: milliseconds, unless a root inside holds it up. A removal
 * may take longer where there is much to delete; then nothing is left to kill.
 */
const defaultAnswerTimeoutMs = 10_000

/** Creating, adopting, finding and removing containers, each safe to repeat by name. */
export class ContainerLifecycle {
  readonly #docker: Docker
  readonly #answerTimeoutMs: number
  readonly #limit = pLimit(lifecycleCallsAtOnce)
  /** Ids of images whose supervisor has been seen to run. */
  readonly #provenImages = new Set<string>()

  constructor(docker: Docker, answerTimeoutMs = defaultAnswerTimeoutMs) {
    this.#docker = docker
    this.#answerTimeoutMs = answerTimeoutMs
  }

  /** @throws UnansweredError when something inside holds the Engine up */
  inspect(name: string): Promise<ContainerInspectInfo | undefined> {
    return inspectContainer(this.#docker, name, this.#answerTimeoutMs)
  }

  /** @returns undefined when there is none, or one of that name that Rollcall did not make. */
  async find(name: string): Promise<FoundSandbox | undefined> {
    try {
      const container = await this.inspect(name)
      return container && toFoundSandbox(container)
    } catch (error) {
      if (!(error instanceof UnansweredError)) throw error
      const listed = await this.#findListed(name)
      const running = listed && toRunningSandbox(listed)
      if (listed !== undefined && running === undefined && readOwnership(listed.Labels) !== undefined) throw error
      return running
    }
  }

  /**
   * Takes the container of that name over if it is the one asked for, starting it where nobody has yet.
   * @returns undefined when there is none. @throws `sandbox-conflict`, `sandbox-lost`.
   */
  async adopt(request: CreateRequest): Promise<FoundSandbox | undefined> {
    const container = await this.inspect(request.name)
    if (container === undefined) return undefined
    refuseForeign(container, request.ownership)
    if (isUnstarted(container)) {
      await this.#limit(() => startContainer(this.#docker, request.name))
      return this.find(request.name)
    }
    if (lifeOf(container).state === 'dead') throw lost(container)
    return toFoundSandbox(container)
  }

  /** Creates and starts; one that is there already is adopted. Once it has begun, the signal changes nothing. */
  async create(request: CreateRequest, image: ResolvedImage, signal: AbortSignal): Promise<FoundSandbox> {
    await this.#limit(async () => {
      signal.throwIfAborted()
      request.onProgress?.('starting')
      const isNew = await createContainer(this.#docker, containerOptions(request, image))
      if (isNew) await startContainer(this.#docker, request.name)
    })
    const sandbox = await this.adopt(request)
    if (sandbox === undefined) throw removedAtOnce(request.name)
    if (!this.#provenImages.has(image.id)) await this.#proveStart(request.name)
    this.#provenImages.add(image.id)
    return sandbox
  }

  /**
   * Returns when it is verified gone. A container that Rollcall did not make is left alone. One for which the Engine does
   * not answer is ended from outside; then the Engine goes on.
   */
  async destroy(name: string): Promise<void> {
    const deadline = Date.now() + removalTimeoutMs
    for (let delayMs = 10; Date.now() < deadline; delayMs = Math.min(delayMs * 2, 500)) {
      const container = await this.#identify(name)
      if (container === undefined || readOwnership(container.labels) === undefined) return
      if (container.isHeld) await killFromOutside(this.#docker, container)
      const removal = await this.#limit(() =>
        removeContainer(this.#docker.getContainer(container.id), this.#answerTimeoutMs),
      )
      if (removal === 'unanswered') await killFromOutside(this.#docker, container)
      if (removal === 'under-way') await wait(delayMs)
    }
    const message = `Container ${name} is still there ${removalTimeoutMs} ms after its removal began.`
    throw new RollcallError('provider-unavailable', message)
  }

  async list(labels: Partial<Ownership>): Promise<FoundSandbox[]> {
    const containers = await listContainers(this.#docker, { label: labelFilter(labels) })
    const sandboxes = await Promise.all(
      containers.map(async (container) => {
        const running = toRunningSandbox(container)
        return running ?? this.find(container.Names[0]?.slice(1) ?? container.Id)
      }),
    )
    return sandboxes.filter((sandbox) => sandbox !== undefined)
  }

  /** The Engine's list waits for no container's lock. */
  async #identify(name: string): Promise<(KnownContainer & { isHeld: boolean }) | undefined> {
    try {
      const container = await this.inspect(name)
      if (container === undefined) return undefined
      return { id: container.Id, name, imageId: container.Image, labels: container.Config.Labels, isHeld: false }
    } catch (error) {
      if (!(error instanceof UnansweredError)) throw error
      const container = await this.#findListed(name)
      if (container === undefined) return undefined
      return { id: container.Id, name, imageId: container.ImageID, labels: container.Labels, isHeld: true }
    }
  }

  async #findListed(name: string): Promise<ContainerInfo | undefined> {
    const [container] = await listContainers(this.#docker, { name: [`^/${name}$`] })
    return container
  }

  /**
   * The Engine calls a container started when its init runs, which only then finds out whether the image has a shell.
   * Asked once per image, since it takes as long as the start of the shell.
   */
  async #proveStart(name: string): Promise<void> {
    for (;;) {
      const container = await this.inspect(name)
      if (container === undefined) throw removedAtOnce(name)
      if (lifeOf(container).state === 'dead') throw lost(container)
      if (await hasFile(this.#docker.getContainer(name), startedMark)) return
      await wait(5)
    }
  }
}

/** A main process that could not even be started says so with its exit code; the supervisor has no such code. */
export function lost(container: ContainerInspectInfo): RollcallError {
  if ([126, 127].includes(container.State.ExitCode)) {
    return new RollcallError('sandbox-create-failed', `Image ${container.Image}: expected a POSIX sh and mkdir in it.`)
  }
  return new RollcallError('sandbox-lost', `Container ${nameOf(container)} ${describeEnd(container)}.`)
}

function removedAtOnce(name: string): RollcallError {
  return new RollcallError('sandbox-lost', `Container ${name} was removed while it was being started.`)
}

function refuseForeign(container: ContainerInspectInfo, wanted: Ownership): void {
  const found = readOwnership(container.Config.Labels)
  if (found?.owner === wanted.owner && found.spec === wanted.spec) return
  const owner = found === undefined ? 'nobody of Rollcall' : `${found.owner} of ${found.workflow}`
  const detail = found?.owner === wanted.owner ? ' from another specification' : ''
  throw new RollcallError(
    'sandbox-conflict',
    `Container ${nameOf(container)} belongs to ${owner}${detail}, expected ${wanted.owner} of ${wanted.workflow}; ` +
      'remove it or use another job id.',
  )
}
