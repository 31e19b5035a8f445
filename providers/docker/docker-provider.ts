import { statfs } from 'node:fs/promises'
import { join } from 'node:path'
import { RollcallError } from '../../protocol/failure.ts'
import { longestTimerMs } from '../../protocol/longest-timer.ts'
import type { Capabilities, CreateRequest, Provider, Sandbox } from '../contract/provider.ts'
import { attach } from './attachment.ts'
import { ContainerLifecycle } from './container-lifecycle.ts'
import { checkSpec, type EngineFacts } from './docker-check.ts'
import { connectToDocker, describeConnection, type DockerConnection } from './docker-connection.ts'
import { dockerError } from './docker-errors.ts'
import { createImageResolver } from './image-resolver.ts'
import { enterContainer } from './shell.ts'
import { systemPicture } from './system-picture.ts'

export interface DockerProviderOptions {
  readonly connection: DockerConnection
  /** Rollcall's state directory: locks of image builds lie in `docker/locks` of it. */
  readonly stateDirectory: string
  /** How long the Engine may take to answer about one container before it is held up from inside. Default 10 s. */
  readonly answerTimeoutMs?: number
  /** `--provider-arg limits=ignore`: nobody looks whether there is the storage that tasks state. Default false. */
  readonly ignoreLimits?: boolean
}

export const dockerCapabilities: Capabilities = {
  durable: true,
  dockerfile: 'full',
  networkModes: ['public', 'none'],
  resources: ['cpus', 'memoryMiB', 'pids', 'gpus'],
  mounts: true,
  users: true,
  imageLayers: true,
}

/** Sandboxes are containers of one Docker Engine (or of Podman's service, which speaks the same API). */
export function createDockerProvider(options: DockerProviderOptions): Provider {
  const { calls, streams } = connectToDocker(options.connection)
  const images = createImageResolver(streams, join(options.stateDirectory, 'docker', 'locks'))
  const lifecycle = new ContainerLifecycle(calls, options.answerTimeoutMs)

  /** Adoption comes first, so that a sandbox that is there needs neither its image nor a registry. */
  async function createOrAdopt(request: CreateRequest): Promise<Sandbox> {
    const start = async (signal: AbortSignal) => {
      signal.throwIfAborted()
      const adopted = await lifecycle.adopt(request)
      if (adopted !== undefined) return adopted
      const image = await images.resolve(request.spec, { onProgress: request.onProgress, signal })
      return lifecycle.create(request, image, signal)
    }
    const { name, id, image, workdir } = await withinStartTimeout(request, start)
    return { name, id, image, workdir }
  }

  async function engineInfo(): Promise<EngineFacts & { id: string }> {
    try {
      const { ID, NCPU, MemTotal, Runtimes, DockerRootDir } = await calls.info()
      const freeStorageMiB = 'socketPath' in options.connection ? await freeMiB(DockerRootDir) : undefined
      return {
        id: ID,
        cpus: NCPU,
        memoryMiB: Math.floor(MemTotal / 1024 ** 2),
        runtimes: Object.keys(Runtimes ?? {}),
        ...(freeStorageMiB === undefined ? {} : { freeStorageMiB }),
      }
    } catch (error) {
      throw dockerError(`use the Engine at ${describeConnection(options.connection)}`, error)
    }
  }

  /** Asked for with every activity; the Engine behind one address does not change. */
  let knownPlace: string | undefined
  const place = async () => (knownPlace ??= (await engineInfo()).id)

  return {
    name: 'docker',
    capabilities: dockerCapabilities,
    place,
    check: async (spec) => checkSpec(spec, { ...(await engineInfo()), ignoreLimits: options.ignoreLimits ?? false }),
    createOrAdopt,
    find: (name) => lifecycle.find(name),
    connect: (name) => attach(streams, lifecycle, name),
    destroy: (name) => lifecycle.destroy(name),
    shell: (name, user) => enterContainer({ streams, lifecycle, name }, user),
    systemPicture: (name) => systemPicture(streams, name),
    list: (labels) => lifecycle.list(labels),
    // The client library opens one connection for each call and keeps none.
    close: async () => {},
  }
}

/** Of an Engine in a virtual machine the folder is not here. */
async function freeMiB(folder: string): Promise<number | undefined> {
  const disk = await statfs(folder).catch(() => undefined)
  return disk && Math.floor((disk.bavail * disk.bsize) / 1024 ** 2)
}

/**
 * Only waiting for an image is given up at the limit. A creation that has begun is seen through (the Engine answers or
 * the call itself times out), so that whoever destroys the sandbox next destroys all there will ever be.
 */
async function withinStartTimeout<T>(request: CreateRequest, start: (signal: AbortSignal) => Promise<T>): Promise<T> {
  const { startTimeoutMs } = request.spec.limits
  const timeout = AbortSignal.timeout(Math.min(startTimeoutMs, longestTimerMs))
  const signal = request.signal === undefined ? timeout : AbortSignal.any([request.signal, timeout])
  try {
    return await start(signal)
  } catch (error) {
    if (error !== timeout.reason) throw error
    throw new RollcallError(
      'sandbox-start-timeout',
      `Sandbox ${request.name} was not ready within ${startTimeoutMs} ms.`,
      { cause: error },
    )
  }
}
