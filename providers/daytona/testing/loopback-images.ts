import { createHash } from 'node:crypto'
import { Readable } from 'node:stream'
import type Docker from 'dockerode'
import type { CreateBuildInfo } from '@daytona/api-client'
import { pack } from 'tar-stream'
import { wholeOf } from './container-machine.ts'
import type { ObjectStorage } from './object-storage.ts'

/** What Daytona's builder does, with the Engine's: once per Dockerfile and contexts, however many ask. */
export class LoopbackImages {
  readonly #docker: Docker
  readonly #storage: ObjectStorage
  readonly #organization: string
  readonly #built = new Map<string, Promise<string>>()
  /** How often something was really built. */
  builds = 0

  constructor(docker: Docker, storage: ObjectStorage, organization: string) {
    this.#docker = docker
    this.#storage = storage
    this.#organization = organization
  }

  /** @returns an image of the Engine. @throws Error with the builder's own sentence */
  async resolve(build: CreateBuildInfo): Promise<string> {
    const { dockerfileContent, contextHashes = [] } = build
    const [, plain] = /^FROM (\S+)\s*$/.exec(dockerfileContent) ?? []
    if (plain !== undefined) return await this.#present(plain)
    const key = createHash('sha256')
      .update(JSON.stringify([dockerfileContent, contextHashes]))
      .digest('hex')
      .slice(0, 24)
    const known = this.#built.get(key) ?? this.#build(key, dockerfileContent, contextHashes)
    this.#built.set(key, known)
    return await known
  }

  async dispose(): Promise<void> {
    const tags = await Promise.allSettled(this.#built.values())
    for (const tag of tags) {
      if (tag.status === 'fulfilled')
        await this.#docker
          .getImage(tag.value)
          .remove({ force: true })
          .catch(() => {})
    }
  }

  async #present(name: string): Promise<string> {
    try {
      await this.#docker.getImage(name).inspect()
      return name
    } catch {
      throw new Error(`failed to pull image ${name}: manifest for ${name} not found: manifest unknown`)
    }
  }

  async #build(key: string, dockerfile: string, hashes: readonly string[]): Promise<string> {
    this.builds += 1
    const archive = pack()
    for (const hash of hashes) {
      const files = await this.#storage.filesOf(this.#organization, hash)
      for (const { name, mode, content } of files) archive.entry({ name, ...(mode !== undefined && { mode }) }, content)
    }
    archive.entry({ name: '.daytona/Dockerfile' }, dockerfile)
    archive.finalize()
    const tag = `rollcall-test/daytona:${key}`
    const context = Readable.from([await wholeOf(archive)])
    const stream: NodeJS.ReadableStream = await this.#docker.buildImage(context, {
      t: tag,
      dockerfile: '.daytona/Dockerfile',
      forcerm: true,
    })
    const { promise, resolve, reject } = Promise.withResolvers<string>()
    this.#docker.modem.followProgress(stream, (error: Error | null, lines: { error?: string }[]) => {
      const failed = error?.message ?? lines.find((line) => line.error !== undefined)?.error
      if (failed === undefined) resolve(tag)
      else reject(new Error(failed))
    })
    return await promise
  }
}
