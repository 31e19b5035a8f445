import { once } from 'node:events'
import type { Writable } from 'node:stream'
import { createDeflateRaw, crc32, deflateRawSync } from 'node:zlib'

/**
 * Zip archives as a stream, with names as the bytes that they are: libraries take only text, and change backslashes.
 * Unix modes, links and times are kept; ZIP64 where sizes or counts ask for it.
 */

export interface ZipEntry {
  /** Without a leading slash; of a directory with a slash at its end. */
  readonly name: Buffer
  /** Permissions and type, as `stat` has them. */
  readonly mode: number
  readonly modified: Date
  /** Of the content, if it is known: an entry of 4 GiB and more must be announced as such. */
  readonly sizeBytes: number
  /** Absent: nothing. */
  readonly content?: AsyncIterable<Buffer>
}

interface Written {
  readonly entry: ZipEntry
  readonly offset: number
  readonly crc: number
  readonly packedBytes: number
  readonly plainBytes: number
  readonly isLarge: boolean
}

const signatures = { local: 0x04034b50, descriptor: 0x08074b50, central: 0x02014b50, end: 0x06054b50 }
const zip64Signatures = { end: 0x06064b50, locator: 0x07064b50 }
const unset32 = 0xffffffff
const unset16 = 0xffff
/** What compresses badly grows a little: announced as large some way before it is. */
const largeFromBytes = 0xf0000000
const versionNeeded = 45
const madeByUnix = (3 << 8) | versionNeeded
const stored = 0
const deflated = 8
const flags = { descriptor: 0x0008, utf8: 0x0800 }
const directoryAttribute = 0x10
/** Content up to this size is packed in one piece. */
const smallBytes = 65_536

/** @returns the archive's bytes, in pieces as they come */
export async function* zipArchive(entries: AsyncIterable<ZipEntry>): AsyncGenerator<Buffer> {
  const written: Written[] = []
  let offset = 0
  const counted = (bytes: Buffer): Buffer => {
    offset += bytes.length
    return bytes
  }
  for await (const entry of entries) {
    const start = offset
    const isLarge = entry.content !== undefined && entry.sizeBytes >= largeFromBytes
    yield counted(localHeader(entry, isLarge))
    const sums = { crc: 0, plainBytes: 0, packedBytes: 0 }
    const { content, sizeBytes } = entry
    if (content !== undefined) {
      for await (const piece of deflate({ content, sizeBytes }, sums)) yield counted(piece)
      yield counted(descriptor(sums, isLarge))
    }
    written.push({ entry, offset: start, isLarge, ...sums })
  }
  const directoryOffset = offset
  for (const one of written) yield counted(centralHeader(one))
  yield endOfArchive({ count: written.length, directoryOffset, directoryBytes: offset - directoryOffset })
}

interface Content {
  readonly content: AsyncIterable<Buffer>
  readonly sizeBytes: number
}

interface Sums {
  crc: number
  plainBytes: number
  packedBytes: number
}

/** Sums are complete when it has ended. */
async function* deflate({ content, sizeBytes }: Content, sums: Sums): AsyncGenerator<Buffer> {
  if (sizeBytes > smallBytes) return yield* deflateStream(content, sums)
  // A stream for each of many small files would hold a quarter of a megabyte each for a while.
  const chunks: Buffer[] = []
  for await (const chunk of content) chunks.push(chunk)
  const plain = Buffer.concat(chunks)
  const packed = deflateRawSync(plain)
  sums.crc = crc32(plain)
  sums.plainBytes = plain.length
  sums.packedBytes = packed.length
  yield packed
}

async function* deflateStream(content: AsyncIterable<Buffer>, sums: Sums): AsyncGenerator<Buffer> {
  const deflater = createDeflateRaw()
  const closed = once(deflater, 'close').catch(() => undefined)
  const feeding = (async () => {
    for await (const chunk of content) {
      sums.crc = crc32(chunk, sums.crc)
      sums.plainBytes += chunk.length
      if (!deflater.write(chunk)) await drained(deflater, closed)
    }
    deflater.end()
  })().catch((error: unknown) => void deflater.destroy(error instanceof Error ? error : new Error(String(error))))
  for await (const piece of deflater) {
    if (!Buffer.isBuffer(piece)) throw new TypeError('A deflated piece is no Buffer')
    sums.packedBytes += piece.length
    yield piece
  }
  await feeding
}

async function drained(stream: Writable, closed: Promise<unknown>): Promise<void> {
  const { promise, resolve } = Promise.withResolvers<void>()
  stream.once('drain', resolve)
  await Promise.race([promise, closed])
  stream.off('drain', resolve)
}

function flagsOf({ name, content }: ZipEntry): number {
  const isText = Buffer.from(name.toString('utf8')).equals(name)
  return (content === undefined ? 0 : flags.descriptor) | (isText ? flags.utf8 : 0)
}

/** Date and time of MS-DOS, in UTC; the exact time is in the extra field. */
function dosTime(date: Date): { date: number; time: number } {
  const year = Math.min(Math.max(date.getUTCFullYear(), 1980), 2107)
  return {
    date: ((year - 1980) << 9) | ((date.getUTCMonth() + 1) << 5) | date.getUTCDate(),
    time: (date.getUTCHours() << 11) | (date.getUTCMinutes() << 5) | (date.getUTCSeconds() >> 1),
  }
}

function timeExtra({ modified }: ZipEntry): Buffer {
  const extra = Buffer.alloc(9)
  extra.writeUInt16LE(0x5455, 0)
  extra.writeUInt16LE(5, 2)
  extra.writeUInt8(1, 4)
  extra.writeInt32LE(Math.min(Math.max(Math.floor(modified.getTime() / 1000), -(2 ** 31)), 2 ** 31 - 1), 5)
  return extra
}

function zip64Extra(numbers: readonly number[]): Buffer {
  const extra = Buffer.alloc(4 + 8 * numbers.length)
  extra.writeUInt16LE(1, 0)
  extra.writeUInt16LE(8 * numbers.length, 2)
  for (const [index, number] of numbers.entries()) extra.writeBigUInt64LE(BigInt(number), 4 + 8 * index)
  return extra
}

function localHeader(entry: ZipEntry, isLarge: boolean): Buffer {
  const extra = Buffer.concat([timeExtra(entry), isLarge ? zip64Extra([0, 0]) : Buffer.alloc(0)])
  const header = Buffer.alloc(30)
  header.writeUInt32LE(signatures.local, 0)
  writeCommon(header, 4, entry)
  // Checksum and sizes come after the content.
  header.writeUInt32LE(isLarge ? unset32 : 0, 18)
  header.writeUInt32LE(isLarge ? unset32 : 0, 22)
  header.writeUInt16LE(entry.name.length, 26)
  header.writeUInt16LE(extra.length, 28)
  return Buffer.concat([header, entry.name, extra])
}

/** Version, flags, method and time: ten bytes that both headers have. */
function writeCommon(header: Buffer, at: number, entry: ZipEntry): void {
  const { date, time } = dosTime(entry.modified)
  header.writeUInt16LE(versionNeeded, at)
  header.writeUInt16LE(flagsOf(entry), at + 2)
  header.writeUInt16LE(entry.content === undefined ? stored : deflated, at + 4)
  header.writeUInt16LE(time, at + 6)
  header.writeUInt16LE(date, at + 8)
}

function descriptor({ crc, packedBytes, plainBytes }: Sums, isLarge: boolean): Buffer {
  const bytes = Buffer.alloc(isLarge ? 24 : 16)
  bytes.writeUInt32LE(signatures.descriptor, 0)
  bytes.writeUInt32LE(crc, 4)
  if (isLarge) {
    bytes.writeBigUInt64LE(BigInt(packedBytes), 8)
    bytes.writeBigUInt64LE(BigInt(plainBytes), 16)
  } else {
    bytes.writeUInt32LE(packedBytes, 8)
    bytes.writeUInt32LE(plainBytes, 12)
  }
  return bytes
}

function centralHeader({ entry, offset, crc, packedBytes, plainBytes, isLarge }: Written): Buffer {
  const isFar = offset >= unset32
  const large = [...(isLarge ? [plainBytes, packedBytes] : []), ...(isFar ? [offset] : [])]
  const extra = Buffer.concat([timeExtra(entry), large.length === 0 ? Buffer.alloc(0) : zip64Extra(large)])
  const header = Buffer.alloc(46)
  header.writeUInt32LE(signatures.central, 0)
  header.writeUInt16LE(madeByUnix, 4)
  writeCommon(header, 6, entry)
  header.writeUInt32LE(crc, 16)
  header.writeUInt32LE(isLarge ? unset32 : packedBytes, 20)
  header.writeUInt32LE(isLarge ? unset32 : plainBytes, 24)
  header.writeUInt16LE(entry.name.length, 28)
  header.writeUInt16LE(extra.length, 30)
  const isDirectory = entry.name.at(-1) === 0x2f
  header.writeUInt32LE(((entry.mode << 16) | (isDirectory ? directoryAttribute : 0)) >>> 0, 38)
  header.writeUInt32LE(isFar ? unset32 : offset, 42)
  return Buffer.concat([header, entry.name, extra])
}

function endOfArchive(at: { count: number; directoryOffset: number; directoryBytes: number }): Buffer {
  const { count, directoryOffset, directoryBytes } = at
  const end = Buffer.alloc(22)
  end.writeUInt32LE(signatures.end, 0)
  end.writeUInt16LE(Math.min(count, unset16), 8)
  end.writeUInt16LE(Math.min(count, unset16), 10)
  end.writeUInt32LE(Math.min(directoryBytes, unset32), 12)
  end.writeUInt32LE(Math.min(directoryOffset, unset32), 16)
  const isSmall = count < unset16 && directoryBytes < unset32 && directoryOffset < unset32
  return isSmall ? end : Buffer.concat([zip64End(at), end])
}

function zip64End(at: { count: number; directoryOffset: number; directoryBytes: number }): Buffer {
  const bytes = Buffer.alloc(56 + 20)
  bytes.writeUInt32LE(zip64Signatures.end, 0)
  bytes.writeBigUInt64LE(44n, 4)
  bytes.writeUInt16LE(madeByUnix, 12)
  bytes.writeUInt16LE(versionNeeded, 14)
  bytes.writeBigUInt64LE(BigInt(at.count), 24)
  bytes.writeBigUInt64LE(BigInt(at.count), 32)
  bytes.writeBigUInt64LE(BigInt(at.directoryBytes), 40)
  bytes.writeBigUInt64LE(BigInt(at.directoryOffset), 48)
  bytes.writeUInt32LE(zip64Signatures.locator, 56)
  bytes.writeBigUInt64LE(BigInt(at.directoryOffset + at.directoryBytes), 64)
  bytes.writeUInt32LE(1, 72)
  return bytes
}
