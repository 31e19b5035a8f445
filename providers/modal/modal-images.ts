import type { Image } from 'modal'
import { join } from 'node:path'
import type { CreateRequest } from '../contract/provider.ts'
import type { ImageSource, SandboxSpec } from '../contract/runtime.ts'
import { mapImage } from '../docker/image-names.ts'
import { imageCommand } from '../docker/image-command.ts'
import { RollcallError } from '../../protocol/failure.ts'
import { planDockerfile } from './dockerfile-commands.ts'
import { copyCommands, scriptCommands } from './embed-files.ts'
import type { ModalAccount } from './modal-account.ts'

/** Where a task names no image and has no Dockerfile. */
const defaultImage = 'python:3.12-slim'

/** An image of the account's own by the name it was published under: `modal://NAME[:TAG]`. */
const publishedPrefix = 'modal://'

/** An image that Modal has. */
export interface ModalImage {
  readonly image: Image
  /** For the lock file: name and id. */
  readonly name: string
  /** Of a Dockerfile; of other images nothing is known. */
  readonly user?: string
  /** What a Dockerfile would have the image run; Modal starts nothing but what it is told. */
  readonly child?: readonly string[]
}

/** Modal's builder keeps what it has built by the text of its lines; this table only saves asking. */
export class ModalImages {
  readonly #account: ModalAccount
  readonly #known = new Map<string, Promise<ModalImage>>()

  constructor(account: ModalAccount) {
    this.#account = account
  }

  /** Builds or finds the image of an order. Safe to repeat. @throws `image-build-failed`, `image-missing` */
  async resolve({ spec, onProgress }: CreateRequest): Promise<ModalImage> {
    const { image, imageMap, layerScript } = spec
    const key = JSON.stringify([image.type === 'dockerfile' ? image.contentHash : image, imageMap, layerScript])
    const known = this.#known.get(key)
    if (known !== undefined) return await known
    onProgress?.('building image')
    const built = this.#build(spec)
    this.#known.set(key, built)
    try {
      return await built
    } catch (error) {
      this.#known.delete(key)
      throw error
    }
  }

  async #build(spec: SandboxSpec): Promise<ModalImage> {
    const recipe = await this.#recipe(spec.image, spec.imageMap)
    const layer = spec.layerScript === undefined ? [] : scriptCommands(spec.layerScript)
    const app = await this.#account.app()
    return await this.#account.ask(`build the image ${recipe.name}`, async () => {
      // As root, which the runner needs to be, and without an entrypoint, which would get the runner as its arguments.
      const image = recipe.image.dockerfileCommands(layer).dockerfileCommands(['USER 0', 'ENTRYPOINT []'])
      const built = await image.build(app)
      return { ...recipe, image: built, name: `${recipe.name} (${built.imageId})` }
    })
  }

  async #recipe(source: ImageSource, imageMap: SandboxSpec['imageMap']): Promise<ModalImage> {
    if (source.type === 'dockerfile') return await this.#ofDockerfile(source, imageMap)
    const name = mapImage(imageMap, source.type === 'name' ? source.name : defaultImage)
    return { name, image: await this.#named(name) }
  }

  async #named(name: string): Promise<Image> {
    const { registrySecret } = this.#account.settings
    return await this.#account.ask(`find the image ${name}`, async ({ images, secrets }) => {
      if (name.startsWith(publishedPrefix)) return await images.fromName(name.slice(publishedPrefix.length))
      const secret = registrySecret === undefined ? undefined : await secrets.fromName(registrySecret)
      return images.fromRegistry(name, secret)
    })
  }

  async #ofDockerfile(
    { directory }: ImageSource & { type: 'dockerfile' },
    imageMap: SandboxSpec['imageMap'],
  ): Promise<ModalImage> {
    const plan = await readPlan(directory, imageMap)
    const [problem] = plan.problems
    if (problem !== undefined) throw new RollcallError('image-build-failed', `${problem.field}: ${problem.expected}`)
    const commands: string[] = []
    for (const step of plan.steps) {
      if (step.type === 'command') commands.push(step.text)
      else commands.push(...(await copyCommands({ directory, entries: plan.entries }, step)))
    }
    const child = plan.child && imageCommand({ id: '', workdir: '', command: plan.child, ...userOf(plan) })
    return {
      name: `Dockerfile from ${plan.from}`,
      image: (await this.#named(plan.from)).dockerfileCommands(commands),
      ...userOf(plan),
      ...(child !== undefined && { child }),
    }
  }
}

function userOf({ user }: { user?: string }): { user?: string } {
  return user === undefined ? {} : { user }
}

async function readPlan(directory: string, imageMap: SandboxSpec['imageMap']): ReturnType<typeof planDockerfile> {
  try {
    return await planDockerfile(directory, imageMap)
  } catch (error) {
    throw new RollcallError('image-build-failed', `${join(directory, 'Dockerfile')} cannot be read: ${String(error)}`, {
      cause: error,
    })
  }
}
