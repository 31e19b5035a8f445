import { join } from 'node:path'
import type { ImageSource } from '../providers/contract/runtime.ts'
import type { HarborEnvironment } from './harbor-schema.ts'
import { hashTree } from './task-hash.ts'
import type { TaskFile } from './task-files.ts'

export type DockerfileImage = Extract<ImageSource, { type: 'dockerfile' }>

/** Every folder of the task that a Dockerfile makes a build context of, by its path: `environment`, `tests`, … */
export type BuildContexts = ReadonlyMap<string, DockerfileImage>

const contextPattern = /^(environment|tests|steps\/[^/]+\/tests)\/Dockerfile$/

/** Finds and hashes the build contexts. */
export async function buildContexts(root: string, files: readonly TaskFile[]): Promise<BuildContexts> {
  const folders = files.flatMap(({ path, type }) =>
    type === 'directory' ? [] : (contextPattern.exec(path)?.[1] ?? []),
  )
  const contexts = folders.map(async (folder): Promise<[string, DockerfileImage]> => {
    const contentHash = await hashTree(root, files, folder)
    return [folder, { type: 'dockerfile', directory: join(root, folder), contentHash }]
  })
  return new Map(await Promise.all(contexts))
}

/** As in Harbor, `docker_image` wins over a Dockerfile, which is kept beside it for jobs that ignore the image. */
export function imageOf(
  environment: HarborEnvironment | undefined,
  dockerfile: DockerfileImage | undefined,
): { image: ImageSource; dockerfile?: DockerfileImage } {
  const name = environment?.docker_image
  if (name === undefined) return { image: dockerfile ?? { type: 'default' } }
  return { image: { type: 'name', name }, ...(dockerfile === undefined ? {} : { dockerfile }) }
}
