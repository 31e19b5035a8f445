import type { IncomingMessage } from 'node:http'
import { Readable } from 'node:stream'
import { extract } from 'tar-stream'
import { wholeOf } from './container-machine.ts'
import { Refusal } from './refusal.ts'

/** As much of S3 as the SDK needs to hand over build contexts: list by prefix, put an object. */
export class ObjectStorage {
  readonly #objects = new Map<string, Buffer>()

  /** @param key path below the bucket */
  async handle(request: IncomingMessage, key: string, query: URLSearchParams): Promise<{ xml: string }> {
    if (request.method === 'GET') return { xml: this.#list(query.get('prefix') ?? '') }
    if (request.method !== 'PUT' || query.has('uploadId')) throw new Refusal(501, `${request.method} ${key}`)
    const body = Buffer.concat(await Readable.from(request).toArray())
    const isChunked = String(request.headers['x-amz-content-sha256']).startsWith('STREAMING')
    this.#objects.set(key, isChunked ? unchunked(body) : body)
    return { xml: '' }
  }

  /** Files of an uploaded context, by path. */
  async filesOf(
    organization: string,
    hash: string,
  ): Promise<{ name: string; mode: number | undefined; content: Buffer }[]> {
    const tar = this.#objects.get(`${organization}/${hash}/context.tar`)
    if (tar === undefined) throw new Error(`context ${hash} was not uploaded`)
    const files = []
    for await (const entry of Readable.from([tar]).pipe(extract())) {
      const content = await wholeOf(entry)
      if (entry.header.type === 'file') files.push({ name: entry.header.name, mode: entry.header.mode, content })
    }
    return files
  }

  #list(prefix: string): string {
    const keys = [...this.#objects.keys()].filter((key) => key.startsWith(prefix))
    const contents = keys.map((key) => `<Contents><Key>${key}</Key><Size>1</Size></Contents>`).join('')
    return `<?xml version="1.0"?><ListBucketResult><KeyCount>${keys.length}</KeyCount>${contents}</ListBucketResult>`
  }
}

/** Takes `SIZE;…\r\nBYTES\r\n` apart, as far as the chunk of size 0. */
function unchunked(body: Buffer): Buffer {
  const chunks: Buffer[] = []
  for (let at = 0; at < body.length;) {
    const end = body.indexOf('\r\n', at)
    const size = Number.parseInt(body.toString('latin1', at, end), 16)
    if (!(size > 0)) break
    chunks.push(body.subarray(end + 2, end + 2 + size))
    at = end + 2 + size + 2
  }
  return Buffer.concat(chunks)
}
