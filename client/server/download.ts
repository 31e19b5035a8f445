import { createWriteStream } from 'node:fs'
import { mkdir, mkdtemp, rename, rm } from 'node:fs/promises'
import { dirname, join } from 'node:path'
import { Readable } from 'node:stream'
import { pipeline } from 'node:stream/promises'
import { createGunzip } from 'node:zlib'
import { extract } from 'tar-stream'

const officialArchives = 'https://temporal.download/cli/archive'

/** Without a connection to the internet this must fail fast: a build comes next. */
const answerWithinMs = 8_000
const transferWithinMs = 10 * 60_000

const architectures: Record<string, string> = { x64: 'amd64', arm64: 'arm64' }

/**
 * Downloads the official archive of the Temporal CLI and puts the program at `target` by rename. Throws a plain Error
 * with the reason when there is no archive for this machine or the server does not answer within seconds.
 */
export async function downloadTemporal(options: {
  version: string
  target: string
  onProgress: (line: string) => void
  archives?: string
}): Promise<void> {
  const url = archiveUrl(options)
  options.onProgress(`downloading the Temporal server from ${url.host}`)
  const body = await request(url)
  await mkdir(dirname(options.target), { recursive: true })
  const folder = await mkdtemp(join(dirname(options.target), '.download-'))
  try {
    await unpackProgram(body, join(folder, 'temporal'))
    await rename(join(folder, 'temporal'), options.target)
  } finally {
    await rm(folder, { recursive: true, force: true })
  }
}

function archiveUrl(options: { version: string; archives?: string }): URL {
  const architecture = architectures[process.arch]
  const known = process.platform === 'linux' || process.platform === 'darwin'
  if (!architecture || !known) throw new Error(`no archive for ${process.platform} on ${process.arch}`)
  const url = new URL(`${options.archives ?? officialArchives}/v${options.version}`)
  url.search = new URLSearchParams({ platform: process.platform, arch: architecture }).toString()
  return url
}

async function request(url: URL): Promise<Readable> {
  const abort = new AbortController()
  const timer = setTimeout(() => abort.abort(), answerWithinMs)
  try {
    const signal = AbortSignal.any([abort.signal, AbortSignal.timeout(transferWithinMs)])
    const response = await fetch(url, { signal })
    if (!response.ok || !response.body) throw new Error(`${url.host} answers ${response.status}`)
    return Readable.from(response.body)
  } catch (error) {
    if (abort.signal.aborted) throw new Error(`${url.host} does not answer`, { cause: error })
    throw new Error(reasonOf(error, url), { cause: error })
  } finally {
    clearTimeout(timer)
  }
}

/** fetch says only "fetch failed"; what happened is in the cause. */
function reasonOf(error: unknown, url: URL): string {
  if (!(error instanceof Error)) return String(error)
  return error.cause instanceof Error ? `cannot reach ${url.host} (${error.cause.message})` : error.message
}

async function unpackProgram(archive: Readable, path: string): Promise<void> {
  const entries = extract()
  const unpacked = pipeline(archive, createGunzip(), entries)
  // A broken stream is reported by the loop below as well; both rejections must have a handler.
  unpacked.catch(() => undefined)
  let found = false
  for await (const entry of entries) {
    if (entry.header.name !== 'temporal') {
      entry.resume()
      continue
    }
    found = true
    await pipeline(entry, createWriteStream(path, { mode: 0o755 }))
  }
  await unpacked
  if (!found) throw new Error('the archive holds no program called temporal')
}
