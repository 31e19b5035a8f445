import { crc32, inflateRawSync } from 'node:zlib'
import { expect, test } from 'vitest'
import { zipArchive, type ZipEntry } from './zip.ts'

const modified = new Date('2026-11-21T10:00:01Z')

async function* contentOf(bytes: Buffer): AsyncGenerator<Buffer> {
  for (let at = 0; at < bytes.length; at += 65_536) yield bytes.subarray(at, at + 65_536)
}

function file(name: string | Buffer, content: Buffer | string = '', mode = 0o100644): ZipEntry {
  const bytes = Buffer.from(content)
  return { name: Buffer.from(name), mode, modified, sizeBytes: bytes.length, content: contentOf(bytes) }
}

async function archiveOf(entries: readonly ZipEntry[]): Promise<Buffer> {
  const all = async function* (): AsyncGenerator<ZipEntry> {
    yield* entries
  }
  const chunks: Buffer[] = []
  for await (const chunk of zipArchive(all())) chunks.push(chunk)
  return Buffer.concat(chunks)
}

/** The little of the format that these archives use, read from the end as programs do. Checksums are checked. */
function read(zip: Buffer): { name: Buffer; mode: number; isUtf8: boolean; content: Buffer }[] {
  const end = zip.length - 22
  expect(zip.readUInt32LE(end)).toBe(0x06054b50)
  const isLong = zip.readUInt16LE(end + 10) === 0xffff
  const long = isLong ? Number(zip.readBigUInt64LE(end - 12)) : 0
  if (isLong) expect(zip.readUInt32LE(long)).toBe(0x06064b50)
  const count = isLong ? Number(zip.readBigUInt64LE(long + 32)) : zip.readUInt16LE(end + 10)
  let at = isLong ? Number(zip.readBigUInt64LE(long + 48)) : zip.readUInt32LE(end + 16)
  return Array.from({ length: count }, () => {
    expect(zip.readUInt32LE(at)).toBe(0x02014b50)
    const [nameBytes, extraBytes] = [zip.readUInt16LE(at + 28), zip.readUInt16LE(at + 30)]
    const isLarge = zip.readUInt32LE(at + 24) === 0xffffffff
    // The time's extra field comes first, with nine bytes.
    const large = at + 46 + nameBytes + 9 + 4
    const plainBytes = isLarge ? Number(zip.readBigUInt64LE(large)) : zip.readUInt32LE(at + 24)
    const packedBytes = isLarge ? Number(zip.readBigUInt64LE(large + 8)) : zip.readUInt32LE(at + 20)
    const local = zip.readUInt32LE(at + 42)
    const start = local + 30 + zip.readUInt16LE(local + 26) + zip.readUInt16LE(local + 28)
    const packed = zip.subarray(start, start + packedBytes)
    const content = zip.readUInt16LE(at + 10) === 0 ? packed : inflateRawSync(packed)
    expect([content.length, crc32(content)]).toEqual([plainBytes, zip.readUInt32LE(at + 16)])
    const entry = {
      name: zip.subarray(at + 46, at + 46 + nameBytes),
      mode: zip.readUInt32LE(at + 38) >>> 16,
      isUtf8: (zip.readUInt16LE(at + 8) & 0x800) !== 0,
      content,
    }
    at += 46 + nameBytes + extraBytes
    return entry
  })
}

test('files, directories, links and odd names come out as they went in', async () => {
  const names = ['plain', 'new\nline', '-dash', 'back\\slash', 'C:\\x', 'ünï€🙂', 'with space', '..hidden']
  const zip = await archiveOf([
    ...names.map((name) => file(name, `of ${name}`, 0o100750)),
    { name: Buffer.from('empty/'), mode: 0o040755, modified, sizeBytes: 0 },
    file('link', 'plain', 0o120777),
  ])
  expect(read(zip).map(({ name, mode, content }) => [name.toString(), mode, content.toString()])).toEqual([
    ...names.map((name) => [name, 0o100750, `of ${name}`]),
    ['empty/', 0o040755, ''],
    ['link', 0o120777, 'plain'],
  ])
})

test('a name that is not UTF-8 is kept byte for byte, and not called UTF-8', async () => {
  const name = Buffer.from([0x61, 0xff, 0x62])
  expect(read(await archiveOf([file(name, 'x'), file('ä', 'x')])).map((entry) => [entry.name, entry.isUtf8])).toEqual([
    [name, false],
    [Buffer.from('ä'), true],
  ])
})

test('large content is packed in pieces, and is whole', async () => {
  const content = Buffer.alloc(9_000_000, 'abc 123 ')
  const zip = await archiveOf([file('large', content), file('after', 'end')])
  expect(zip.length).toBeLessThan(200_000)
  const entries = read(zip)
  expect(entries[0]?.content.equals(content)).toBe(true)
  expect(entries[1]?.content.toString()).toBe('end')
})

test('more entries than the old format counts, and one that is announced as very large', async () => {
  const entries = Array.from({ length: 65_600 }, (_, index): ZipEntry => ({
    name: Buffer.from(`f${index}`),
    mode: 0o100644,
    modified,
    sizeBytes: 0,
  }))
  const large: ZipEntry = { ...file('large', 'x'.repeat(100)), sizeBytes: 5e9 }
  const all = read(await archiveOf([large, ...entries]))
  expect(all.length).toBe(65_601)
  expect(all[0]?.content.toString()).toBe('x'.repeat(100))
})

test('content that fails fails the archive', async () => {
  const failing = async function* (): AsyncGenerator<Buffer> {
    yield Buffer.from('begun')
    throw new Error('cut off')
  }
  const entry: ZipEntry = { name: Buffer.from('f'), mode: 0o100644, modified, sizeBytes: 9, content: failing() }
  await expect(archiveOf([entry])).rejects.toThrow('cut off')
})
