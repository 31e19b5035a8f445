import type { Readable } from 'node:stream'
import { setTimeout as delay } from 'node:timers/promises'
import type { CompletedPart } from '@aws-sdk/client-s3'
import { isAbsentFromHead, isConflict, isTaken, isUploadGone } from './s3-errors.ts'
import type { S3Object } from './s3-store.ts'

/** What a stream holds in memory at most, twice. S3 takes 10,000 parts of at least 5 MiB, so this is for 80 GB. */
const partBytes = 8 * 1024 ** 2

/** How often one looks at the outcome of another's write that is under way, with growing pauses: 6 s in all. */
const looks = 6
const firstPauseMs = 100

type Answer = 'stored' | 'exists'

/** Creates the object unless it is there. A retry of the SDK whose first attempt was stored answers `exists`. */
export async function putBytes({ client, bucket, name }: S3Object, bytes: Uint8Array): Promise<Answer> {
  for (let look = 0; ; look += 1) {
    try {
      await client.putObject({ Bucket: bucket, Key: name, Body: bytes, IfNoneMatch: '*' })
      return 'stored'
    } catch (error) {
      if (isTaken(error)) return 'exists'
      if (!isConflict(error) || look >= looks) throw error
      await pause(look)
    }
  }
}

/** The same for a stream of any length. Nothing is to be seen of it before its end, nor if it breaks off. */
export async function putStream(object: S3Object, source: Readable): Promise<Answer> {
  const parts = inParts(source)
  try {
    const first = await parts.next()
    if (first.done) return await putBytes(object, Buffer.alloc(0))
    if (first.value.length < partBytes) return await putBytes(object, first.value)
    if (!(await isThere(object))) return await putParts(object, first.value, parts)
    // Whoever writes the stream expects all of it to be taken.
    while (!(await parts.next()).done);
    return 'exists'
  } finally {
    await parts.return(undefined)
  }
}

async function* inParts(source: Readable): AsyncGenerator<Buffer, undefined> {
  let chunks: Buffer[] = []
  let size = 0
  for await (const chunk of source) {
    const bytes = Buffer.from(chunk)
    chunks.push(bytes)
    size += bytes.length
    while (size >= partBytes) {
      const all = Buffer.concat(chunks)
      yield all.subarray(0, partBytes)
      chunks = [all.subarray(partBytes)]
      size -= partBytes
    }
  }
  if (size > 0) yield Buffer.concat(chunks)
  return undefined
}

async function putParts(object: S3Object, first: Buffer, others: AsyncIterable<Buffer>): Promise<Answer> {
  const { client, bucket: Bucket, name: Key } = object
  const { UploadId } = await client.createMultipartUpload({ Bucket, Key })
  const Parts: CompletedPart[] = []
  const upload = async (Body: Buffer) => {
    const PartNumber = Parts.length + 1
    const { ETag } = await client.uploadPart({ Bucket, Key, UploadId, PartNumber, Body })
    Parts.push({ PartNumber, ETag })
  }
  try {
    await upload(first)
    for await (const part of others) await upload(part)
    await client.completeMultipartUpload({ Bucket, Key, UploadId, MultipartUpload: { Parts }, IfNoneMatch: '*' })
    return 'stored'
  } catch (error) {
    // What cannot be removed now is left to the bucket's lifecycle rule (docs/operations.md).
    await client.abortMultipartUpload({ Bucket, Key, UploadId }).catch(() => undefined)
    if (await isTakenAfter(error, object)) return 'exists'
    throw error
  }
}

/** Whether a failed completion means that the object is there: another's, or this one whose answer was lost. */
async function isTakenAfter(error: unknown, object: S3Object): Promise<boolean> {
  if (isTaken(error)) return true
  if (isUploadGone(error)) return isThere(object)
  for (let look = 0; isConflict(error) && look < looks; look += 1) {
    if (await isThere(object)) return true
    await pause(look)
  }
  return false
}

async function isThere({ client, bucket, name }: S3Object): Promise<boolean> {
  try {
    await client.headObject({ Bucket: bucket, Key: name })
    return true
  } catch (error) {
    if (isAbsentFromHead(error)) return false
    throw error
  }
}

/** With chance in it, so that those who collided do not collide again. */
async function pause(look: number): Promise<void> {
  await delay(firstPauseMs * 2 ** look * (0.5 + Math.random() / 2))
}
