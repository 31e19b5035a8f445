import { Readable } from 'node:stream'
import type Docker from 'dockerode'
import { z } from 'zod'
import { systemFolders } from '../contract/provider.ts'
import type { SystemPicture } from '../contract/provider.ts'
import { dockerError } from './docker-errors.ts'

/** An agent can make millions of files, each of which is a line of the Engine's answer. */
const answerTimeoutMs = 10_000
const mostBytes = 32 * 1024 ** 2
const mostPaths = 5_000

const marks = ['changed', 'added', 'removed']

/** What of the system folders differs from the image, as the Engine tells it. */
export async function systemPicture(docker: Docker, name: string): Promise<SystemPicture> {
  const abortSignal = AbortSignal.timeout(answerTimeoutMs)
  try {
    return await readChanges(await changesOf(docker, { name, abortSignal }))
  } catch (error) {
    if (abortSignal.aborted) return { paths: [], isCut: true }
    throw dockerError(`list the changed files of the container ${name}`, error)
  }
}

/** The answer as a stream: the client library would hold all of it. */
function changesOf(docker: Docker, at: { name: string; abortSignal: AbortSignal }): Promise<Readable> {
  const { name, abortSignal } = at
  const statusCodes = { 200: true, 404: 'no such container', 500: 'server error' }
  const call = { path: `/containers/${name}/changes`, method: 'GET', isStream: true, abortSignal, statusCodes }
  return new Promise((resolve, reject) => {
    docker.modem.dial(call, (error: unknown, answer: unknown) => {
      if (answer instanceof Readable) resolve(answer)
      else reject(error instanceof Error ? error : new Error(String(error)))
    })
  })
}

/** One object of the list, with what stands before it; a brace within a path does not end it. */
const entry = /[[,\s]*(\{(?:[^"}]|"(?:[^"\\]|\\.)*")*\})/gy
const entrySchema = z.object({ Path: z.string(), Kind: z.number() })

/** Out of `[{"Kind":1,"Path":"/etc/x"},…]`, or `null` where nothing has changed. Exported for its test. */
export async function readChanges(answer: Readable): Promise<SystemPicture> {
  const paths: [path: string, mark: string][] = []
  let bytes = 0
  let rest = ''
  answer.setEncoding('utf8')
  for await (const chunk of answer) {
    const text = `${rest}${String(chunk)}`
    bytes += text.length - rest.length
    let read = 0
    for (const { 0: whole, 1: object = '' } of text.matchAll(entry)) {
      read += whole.length
      const { Path: path, Kind: kind } = entrySchema.parse(JSON.parse(object))
      if (isSystemPath(path)) paths.push([path, marks[kind] ?? 'changed'])
    }
    rest = text.slice(read)
    if (bytes > mostBytes || paths.length > mostPaths) {
      answer.destroy()
      return { paths: paths.slice(0, mostPaths), isCut: true }
    }
  }
  return { paths, isCut: false }
}

function isSystemPath(path: string): boolean {
  return systemFolders.some((folder) => path === folder || path.startsWith(`${folder}/`))
}
