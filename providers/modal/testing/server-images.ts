import { createHash } from 'node:crypto'
import type Docker from 'dockerode'
import { packFiles } from '../../docker/build-context.ts'
import { buildImage } from '../../docker/image-build.ts'
import { resultStatus, type GenericResult } from './machine.ts'

export interface ImageRequest {
  readonly image?: {
    readonly dockerfileCommands: readonly string[]
    readonly baseImages: readonly { readonly dockerTag: string; readonly imageId: string }[]
  }
}

/** Images of the test server: each is built by the Engine's own builder, once per text, and stays there as its cache. */
export class ServerImages {
  readonly #docker: Docker
  readonly #label: string
  readonly #building = new Map<string, Promise<GenericResult>>()
  readonly #published = new Map<string, string>()

  constructor(docker: Docker, label: string) {
    this.#docker = docker
    this.#label = label
  }

  /** Takes away the names of what was built; the Engine keeps its cache. */
  async remove(): Promise<void> {
    for (const imageId of this.#building.keys()) {
      await this.#docker
        .getImage(this.reference(imageId))
        .remove()
        .catch(() => {})
    }
  }

  /** What the Engine calls it. */
  reference(imageId: string): string {
    return `rollcall-modal-test:${imageId}-${this.#label}`
  }

  getOrCreate({ image }: ImageRequest): string {
    const text = JSON.stringify([image?.dockerfileCommands, image?.baseImages])
    const imageId = `im-${createHash('sha256').update(text).digest('hex').slice(0, 22)}`
    if (!this.#building.has(imageId)) this.#building.set(imageId, this.#build(imageId, image))
    return imageId
  }

  /** @returns undefined for one that nobody asked for */
  async result(imageId: string): Promise<GenericResult | undefined> {
    const result = await this.#building.get(imageId)
    // A failure is not kept: the next who asks has it built again.
    if (result?.status === resultStatus.failure) this.#building.delete(imageId)
    return result
  }

  publish(name: string, imageId: string): void {
    this.#published.set(name, imageId)
  }

  byName(name: string): string | undefined {
    return this.#published.get(name) ?? this.#published.get(`${name}:latest`)
  }

  async #build(imageId: string, image: ImageRequest['image']): Promise<GenericResult> {
    const bases = new Map(image?.baseImages.map((base) => [base.dockerTag, this.reference(base.imageId)]))
    const [from = '', ...commands] = image?.dockerfileCommands ?? []
    const base = from.replace(/^FROM /, '')
    try {
      if (!bases.has(base)) await this.#require(base)
      const dockerfile = [`FROM ${bases.get(base) ?? base}`, ...commands, ''].join('\n')
      const context = packFiles({ Dockerfile: dockerfile })
      await buildImage(this.#docker, { context, tag: this.reference(imageId), onProgress: () => {} })
      return { status: resultStatus.success, exitcode: 0, exception: '' }
    } catch (error) {
      return {
        status: resultStatus.failure,
        exitcode: 1,
        exception: error instanceof Error ? error.message : String(error),
      }
    }
  }

  /** There is no registry where tests run: what the Engine does not have, the registry does not. */
  async #require(name: string): Promise<void> {
    await this.#docker
      .getImage(name)
      .inspect()
      .catch(() => {
        throw new Error(`manifest for ${name} not found: manifest unknown`)
      })
  }
}
