import { mkdtemp, mkdir, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { dirname, join } from 'node:path'
import { randomUUID } from 'node:crypto'
import type Docker from 'dockerode'
import { cacheDirectory } from '../../../protocol/directories.ts'
import { ensureTestImages } from '../../../scripts/test-images.ts'
import { createConformanceHarness, type ConformanceHarness } from '../../conformance/conformance-context.ts'
import type { ImageSource } from '../../contract/runtime.ts'
import { connectToDocker, dockerConnection, type DockerConnection } from '../docker-connection.ts'
import { createDockerProvider } from '../docker-provider.ts'

export interface DockerFixture extends ConformanceHarness {
  readonly connection: DockerConnection
  readonly docker: Docker
  readonly directory: string
  readonly imageMap: Readonly<Record<string, string>>
  /** A build context that no earlier test has built. */
  readonly writeContext: (files: Readonly<Record<string, string>>) => Promise<ImageSource & { type: 'dockerfile' }>
  /** Removes everything that was made, images of these contexts included; other tests build at the same time. */
  readonly dispose: () => Promise<void>
}

/** For tests: a provider on the real Engine, with what tests need to look behind it. */
export async function openDockerFixture(): Promise<DockerFixture> {
  const connection = dockerConnection(process.env['DOCKER_HOST'])
  const imageMap = await ensureTestImages({ connection, cacheDirectory: cacheDirectory(process.env) })
  const directory = await mkdtemp(join(tmpdir(), 'rollcall-docker-'))
  const provider = createDockerProvider({ connection, stateDirectory: join(directory, 'state') })
  const docker = connectToDocker(connection).calls
  const harness = createConformanceHarness(provider, { imageMap })
  const label = `rollcall-test.fixture=${randomUUID()}`

  const writeContext = async (files: Readonly<Record<string, string>>) => {
    const contentHash = randomUUID()
    const context = join(directory, contentHash)
    for (const [name, text] of Object.entries(files)) {
      await mkdir(dirname(join(context, name)), { recursive: true })
      await writeFile(join(context, name), name === 'Dockerfile' ? `${text}LABEL ${label}\n` : text)
    }
    return { type: 'dockerfile', directory: context, contentHash } as const
  }

  const dispose = async () => {
    await harness.cleanUp('all')
    const images = await docker.listImages({ filters: { label: [label] } })
    for (const tag of images.flatMap((image) => image.RepoTags ?? []))
      await docker.getImage(tag).remove({ force: true })
    await rm(directory, { recursive: true, force: true })
  }

  return { ...harness, connection, docker, directory, imageMap, writeContext, dispose }
}
