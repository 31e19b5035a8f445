import type { Readable } from 'node:stream'
import type Docker from 'dockerode'
import { z } from 'zod'
import { readBuildTrace } from './build-trace.ts'
import { buildError, dockerError } from './docker-errors.ts'

/** How many of the last lines of a failed build the error shows. */
const shownLines = 20

/**
 * Builds with the Engine's own BuildKit and tags the result. Safe to repeat: the same context ends in the same image.
 * @throws `image-build-failed` with the end of the build's log; `image-missing` or `provider-unavailable` for a base
 *   image that cannot be had.
 */
export async function buildImage(
  docker: Docker,
  options: { readonly context: Readable; readonly tag: string; readonly onProgress: (line: string) => void },
): Promise<void> {
  const stream = await startBuild(docker, options)
  const lines: string[] = []
  const failure = await followBuild(docker, stream, (line) => {
    lines.push(line)
    if (lines.length > shownLines) lines.shift()
    options.onProgress(line)
  })
  if (failure !== undefined) throw buildError(failure, lines)
}

async function startBuild(docker: Docker, options: { context: Readable; tag: string }): Promise<NodeJS.ReadableStream> {
  try {
    return await docker.buildImage(options.context, { t: options.tag, version: '2', rm: true, forcerm: true })
  } catch (error) {
    throw dockerError(`build the image ${options.tag}`, error)
  }
}

/** Resolves with the build's own error message, or undefined when it went through. */
async function followBuild(
  docker: Docker,
  stream: NodeJS.ReadableStream,
  onLine: (line: string) => void,
): Promise<string | undefined> {
  let failure: string | undefined
  const onEvent = (event: unknown) => {
    const { error, id, aux } = buildEventSchema.parse(event)
    failure ??= error
    if (id !== 'moby.buildkit.trace' || typeof aux !== 'string') return
    for (const line of readBuildTrace(aux)) onLine(line)
  }
  await new Promise<void>((resolve, reject) => {
    const onFinished = (error: Error | null) => (error ? reject(dockerError('follow the build', error)) : resolve())
    docker.modem.followProgress(stream, onFinished, onEvent)
  })
  return failure
}

const buildEventSchema = z.object({
  error: z.string().optional(),
  id: z.string().optional(),
  aux: z.unknown().optional(),
})
