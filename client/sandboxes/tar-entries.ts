import { PassThrough, type Readable } from 'node:stream'
import { extract, type Extract } from 'tar-stream'
import type { ZipEntry } from './zip.ts'

/** Reads the tar that a sandbox has made, as it comes. Names are kept as bytes: latin1 has a character for each. */

/** How many entries have come, and may come. */
export interface TarCount {
  entries: number
  readonly maxEntries: number
  /** Of the tar, so far. */
  bytes?: number
}

export class TooManyEntriesError extends Error {
  override readonly name = 'TooManyEntriesError'
}

/** The library's types do not know this setting of theirs. */
const byteNames: object = { filenameEncoding: 'latin1' }

/** A link does not say how large its file is: the entry is announced as one that may be of any size. */
const unknownBytes = Number.MAX_SAFE_INTEGER

type Entry = Extract extends AsyncIterable<infer One> ? One : never

const bytesOf = (name: string): Buffer => Buffer.from(name.replace(/^\.\//, ''), 'latin1')

/** The directory itself is no entry of its archive. */
function isRoot(name: string): boolean {
  return name === './' || name === '.'
}

function note(name: string, count: TarCount): void {
  if (!isRoot(name)) count.entries += 1
  if (count.entries > count.maxEntries) throw new TooManyEntriesError(`More than ${count.maxEntries} entries`)
}

/** The same bytes, with their entries counted. @throws TooManyEntriesError at the first that is too many */
export async function* countedTar(tar: Readable, count: TarCount): AsyncGenerator<Buffer> {
  let header: Buffer = Buffer.alloc(0)
  let contentBytes = 0
  for await (const chunk of tar) {
    if (!Buffer.isBuffer(chunk)) throw new TypeError('A piece of a tar is no Buffer')
    for (let at = 0; at < chunk.length;) {
      const skipped = Math.min(contentBytes, chunk.length - at)
      contentBytes -= skipped
      at += skipped
      const missing = chunk.subarray(at, at + blockBytes - header.length)
      header = Buffer.concat([header, missing])
      at += missing.length
      if (header.length < blockBytes) continue
      contentBytes = noteHeader(header, count)
      header = Buffer.alloc(0)
    }
    yield chunk
  }
}

const blockBytes = 512
/** Kinds of headers that say something of the next one. */
const preliminaries = ['L', 'K', 'x', 'g']

/** @returns how many bytes follow it, up to the next header */
function noteHeader(header: Buffer, count: TarCount): number {
  // The end of an archive, and what fills its last record.
  if (header[0] === 0) return 0
  const name = header.toString('latin1', 0, 3).replace(/\0.*/s, '')
  const isPreliminary = preliminaries.includes(header.toString('latin1', 156, 157))
  if (!isPreliminary) note(name, count)
  return Math.ceil(sizeOf(header) / blockBytes) * blockBytes
}

/** Octal digits or, for what is too large for them, a binary number after a set bit. */
function sizeOf(header: Buffer): number {
  const field = header.subarray(124, 136)
  if ((field.readUInt8(0) & 0x80) !== 0) return Number(field.readBigUInt64BE(4))
  return Number.parseInt(field.toString('latin1'), 8)
}

/** @param contentOf what a second name of a file leads to */
export async function* zipEntries(
  tar: Readable,
  count: TarCount,
  contentOf: (name: Buffer) => AsyncIterable<Buffer>,
): AsyncGenerator<ZipEntry> {
  const parser = extract(byteNames)
  void feed(tar, { parser, count })
  const links: Entry['header'][] = []
  for await (const entry of parser) {
    note(entry.header.name, count)
    const made = isRoot(entry.header.name) ? undefined : zipEntry(entry)
    if (made !== undefined) yield made
    else if (entry.header.type === 'link') links.push(entry.header)
    entry.resume()
  }
  // Only now: what is read in between would wait behind the rest of the tar, which waits for us.
  for (const header of links) {
    const content = contentOf(bytesOf(header.linkname))
    const { name, modified, mode } = commonOf(header)
    yield { name, modified, mode: typeBits.file | mode, sizeBytes: unknownBytes, content }
  }
}

/** Never rejects: an error ends the parser, and so whoever reads from it. */
async function feed(tar: Readable, { parser, count }: { parser: Extract; count: TarCount }): Promise<void> {
  try {
    for await (const chunk of tar) {
      if (Buffer.isBuffer(chunk)) count.bytes = (count.bytes ?? 0) + chunk.length
      await given(parser, chunk)
    }
    parser.end(undefined)
  } catch (error) {
    parser.destroy(error instanceof Error ? error : new Error(String(error)))
  }
}

/** Returns when it wants more. */
async function given(parser: Extract, chunk: unknown): Promise<void> {
  if (parser.write(chunk)) return
  const { promise, resolve } = Promise.withResolvers<void>()
  parser.once('drain', resolve).once('close', resolve)
  await promise
  parser.off('drain', resolve).off('close', resolve)
}

const typeBits = { file: 0o100000, directory: 0o040000, symlink: 0o120000 }

function commonOf({ name, mtime, mode }: Entry['header']): { name: Buffer; modified: Date; mode: number } {
  return { name: bytesOf(name), modified: mtime, mode }
}

/** Undefined for what has no content, and so no place in a zip: sockets, FIFOs, devices; second names come later. */
function zipEntry(entry: Entry): ZipEntry | undefined {
  const { type, size, linkname } = entry.header
  const { name, modified, mode } = commonOf(entry.header)
  switch (type) {
    case 'file':
    case 'contiguous-file':
      return {
        name,
        modified,
        mode: typeBits.file | mode,
        sizeBytes: size,
        ...(size > 0 && { content: pieces(entry) }),
      }
    case 'directory':
      return { name: asDirectory(name), modified, mode: typeBits.directory | mode, sizeBytes: 0 }
    case 'symlink': {
      const target = Buffer.from(linkname, 'latin1')
      const mode = typeBits.symlink | 0o777
      return { name, modified, mode, sizeBytes: target.length, content: PassThrough.from([target]) }
    }
    default:
      return undefined
  }
}

function asDirectory(name: Buffer): Buffer {
  return name.at(-1) === 0x2f ? name : Buffer.concat([name, Buffer.from('/')])
}

async function* pieces(entry: Entry): AsyncGenerator<Buffer> {
  for await (const piece of entry) {
    if (!Buffer.isBuffer(piece)) throw new TypeError('A piece of a file is no Buffer')
    yield piece
  }
}
