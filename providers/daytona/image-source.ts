import { cp, mkdtemp, readFile, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import type { ImageSource, SandboxSpec } from '../contract/runtime.ts'
import { rewriteDockerfile } from '../images/dockerfile-images.ts'
import { mapImage } from '../images/image-names.ts'
import type { CreateSandboxFromImageParams, CreateSandboxFromSnapshotParams, DaytonaSdk } from './daytona-sdk.ts'

/** Where a task names no image: the same as with docker. */
const defaultImage = 'python:3.12-slim'

const snapshotPrefix = 'snapshot:'

/** The snapshot that `snapshot:NAME` names. */
export function snapshotName(image: ImageSource): string | undefined {
  if (image.type !== 'name' || !image.name.startsWith(snapshotPrefix)) return undefined
  return image.name.slice(snapshotPrefix.length)
}

/** What a sandbox is made from, for its label and the lock file. */
export function describeImage({ image, imageMap }: Pick<SandboxSpec, 'image' | 'imageMap'>): string {
  if (snapshotName(image) !== undefined && image.type === 'name') return image.name
  if (image.type === 'dockerfile') return `Dockerfile ${image.contentHash}`
  return mapImage(imageMap, image.type === 'name' ? image.name : defaultImage)
}

export type ImageParams =
  | Pick<CreateSandboxFromSnapshotParams, 'snapshot'>
  | Pick<CreateSandboxFromImageParams, 'image'>

/**
 * Hands the image part of a creation to `use`. A Dockerfile is built by Daytona, once per content; where `imageMap`
 * changes it, it is read from a copy of the context, which is gone when `use` is done.
 */
export async function withImage<T>(
  sdk: DaytonaSdk,
  spec: SandboxSpec,
  use: (image: ImageParams) => Promise<T>,
): Promise<T> {
  const { image, imageMap } = spec
  const snapshot = snapshotName(image)
  if (snapshot !== undefined) return await use({ snapshot })
  if (image.type !== 'dockerfile') return await use({ image: describeImage(spec) })
  const original = await readFile(join(image.directory, 'Dockerfile'), 'utf8')
  const rewritten = rewriteDockerfile(original, imageMap)
  const read = (directory: string) => sdk.Image.fromDockerfile(join(directory, 'Dockerfile'), { strictContext: true })
  if (rewritten === original) return await use({ image: read(image.directory) })
  const copy = await mkdtemp(join(tmpdir(), 'rollcall-daytona-'))
  try {
    await cp(image.directory, copy, { recursive: true, verbatimSymlinks: true })
    await writeFile(join(copy, 'Dockerfile'), rewritten)
    return await use({ image: read(copy) })
  } finally {
    await rm(copy, { recursive: true, force: true })
  }
}
