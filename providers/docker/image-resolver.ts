import { createHash } from 'node:crypto'
import { readFile } from 'node:fs/promises'
import { join } from 'node:path'
import type Docker from 'dockerode'
import { RollcallError } from '../../protocol/failure.ts'
import type { ImageSource, SandboxSpec } from '../contract/runtime.ts'
import { packContext, packFiles } from './build-context.ts'
import { dockerError, isNotFound, pullError } from './docker-errors.ts'
import { rewriteDockerfile } from '../images/dockerfile-images.ts'
import { buildImage } from './image-build.ts'
import { mapImage } from '../images/image-names.ts'
import { OnceTable } from './once.ts'

/** Where a task names no image and has no Dockerfile. */
const defaultImage = 'python:3.12-slim'

/** An image that is present, and what of its configuration a container of ours must take over itself. */
export interface ResolvedImage {
  /** `sha256:…`: the image's own id, which no later tag can change. */
  readonly id: string
  /** ENTRYPOINT and CMD together. */
  readonly command: readonly string[]
  readonly user?: string
  readonly workdir: string
}

export interface ResolveOptions {
  readonly onProgress?: ((line: string) => void) | undefined
  readonly signal?: AbortSignal | undefined
}

export interface ImageResolver {
  /**
   * Pulls, builds or finds the image of an order, with its layer. Work that another caller or another worker on this
   * machine is already doing is waited for, not repeated. Images are never removed here.
   * @throws `image-missing`, `image-build-failed`, `provider-unavailable`, `provider-busy`.
   */
  resolve(spec: SandboxSpec, options: ResolveOptions): Promise<ResolvedImage>
}

export function createImageResolver(docker: Docker, lockDirectory: string): ImageResolver {
  const once = new OnceTable<ResolvedImage>(lockDirectory)

  async function resolve(spec: SandboxSpec, options: ResolveOptions): Promise<ResolvedImage> {
    const base = await resolveSource(spec, options)
    return spec.layerScript === undefined ? base : addLayer(base, spec.layerScript, options)
  }

  async function resolveSource(spec: SandboxSpec, options: ResolveOptions): Promise<ResolvedImage> {
    if (spec.image.type === 'dockerfile') return buildContext(spec.image, spec.imageMap, options)
    const name = mapImage(spec.imageMap, spec.image.type === 'name' ? spec.image.name : defaultImage)
    return makeOnce(name, options, (report) => pullImage(docker, name, report))
  }

  async function buildContext(
    image: ImageSource & { type: 'dockerfile' },
    imageMap: SandboxSpec['imageMap'],
    options: ResolveOptions,
  ): Promise<ResolvedImage> {
    const dockerfile = rewriteDockerfile(await readDockerfile(image.directory), imageMap)
    const tag = `rollcall/built:${shortHash(image.contentHash, dockerfile)}`
    return makeOnce(tag, options, async (report) => {
      report('building image')
      const context = packContext({ directory: image.directory, dockerfile })
      await buildImage(docker, { context, tag, onProgress: report })
    })
  }

  async function addLayer(base: ResolvedImage, script: string, options: ResolveOptions): Promise<ResolvedImage> {
    const tag = `rollcall/layer:${shortHash(base.id, script)}`
    return makeOnce(tag, options, async (report) => {
      report('building image layer')
      const context = packFiles({ Dockerfile: layerDockerfile(await tagById(base.id), base.user), 'layer.sh': script })
      await buildImage(docker, { context, tag, onProgress: report })
    })
  }

  /** BuildKit takes no image id in FROM, and any other name could mean another image by the time it is read. */
  async function tagById(id: string): Promise<string> {
    const tag = id.replace('sha256:', '').slice(0, 24)
    await docker.getImage(id).tag({ repo: 'rollcall/base', tag })
    return `rollcall/base:${tag}`
  }

  async function makeOnce(
    name: string,
    options: ResolveOptions,
    make: (report: (line: string) => void) => Promise<void>,
  ): Promise<ResolvedImage> {
    const present = await inspectImage(docker, name)
    if (present !== undefined) return present
    const work = async (report: (line: string) => void) => {
      const madeMeanwhile = await inspectImage(docker, name)
      if (madeMeanwhile !== undefined) return madeMeanwhile
      await make(report)
      return requireImage(docker, name)
    }
    return once.run(`image-${shortHash(name)}`, work, options)
  }

  return { resolve }
}

function layerDockerfile(base: string, user: string | undefined): string {
  return [
    `FROM ${base}`,
    'USER 0',
    'RUN --mount=type=bind,source=layer.sh,target=/.rollcall-layer.sh ["sh", "/.rollcall-layer.sh"]',
    ...(user === undefined ? [] : [`USER ${user}`]),
    '',
  ].join('\n')
}

async function readDockerfile(directory: string): Promise<string> {
  try {
    return await readFile(join(directory, 'Dockerfile'), 'utf8')
  } catch (error) {
    throw new RollcallError('image-build-failed', `${join(directory, 'Dockerfile')} cannot be read: ${String(error)}`, {
      cause: error,
    })
  }
}

async function pullImage(docker: Docker, name: string, report: (line: string) => void): Promise<void> {
  report(`pulling ${name}`)
  try {
    const stream: NodeJS.ReadableStream = await docker.pull(name)
    await new Promise<void>((resolve, reject) => {
      docker.modem.followProgress(
        stream,
        (error: Error | null) => (error ? reject(error) : resolve()),
        (event: { status?: string; id?: string; error?: string }) => {
          if (event.error !== undefined) reject(new Error(event.error))
          else if (event.id === undefined && event.status !== undefined) report(event.status)
        },
      )
    })
  } catch (error) {
    throw pullError(name, error)
  }
}

async function inspectImage(docker: Docker, name: string): Promise<ResolvedImage | undefined> {
  // The Engine would take such a name for part of a path; it cannot be that of an image either.
  if (!/^[\w.:/@-]+$/.test(name)) {
    throw new RollcallError('image-missing', `Image name ${JSON.stringify(name)}: expected like registry/name:tag.`)
  }
  try {
    const { Id, Config } = await docker.getImage(name).inspect()
    const command = [...toArray(Config?.Entrypoint), ...toArray(Config?.Cmd)]
    return { id: Id, command, workdir: Config?.WorkingDir || '/', ...(Config?.User && { user: Config.User }) }
  } catch (error) {
    if (isNotFound(error)) return undefined
    throw dockerError(`inspect the image ${name}`, error)
  }
}

async function requireImage(docker: Docker, name: string): Promise<ResolvedImage> {
  const image = await inspectImage(docker, name)
  if (image !== undefined) return image
  throw new RollcallError('provider-unavailable', `The Engine ended making the image ${name} without leaving it there.`)
}

function toArray(value: string | readonly string[] | null | undefined): readonly string[] {
  if (value == null) return []
  return typeof value === 'string' ? [value] : value
}

function shortHash(...parts: readonly string[]): string {
  return createHash('sha256').update(JSON.stringify(parts)).digest('hex').slice(0, 32)
}
