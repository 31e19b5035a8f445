import { Readable } from 'node:stream'
import type { GetObjectCommandOutput } from '@aws-sdk/client-s3'
import { isAbsent } from './s3-errors.ts'
import type { S3Object } from './s3-store.ts'

/** How often in a row a download that breaks off is continued without a byte of progress. */
const fruitlessAttempts = 5

/**
 * The object as a stream, undefined where there is none. A connection that breaks off in the middle is replaced by one
 * that goes on at the same byte: objects never change.
 * @param explain makes the stream's error out of one of the SDK
 */
export async function openObject(
  object: S3Object,
  explain: (error: unknown) => unknown = (error) => error,
): Promise<Readable | undefined> {
  const first = await getFrom(object, 0).catch((error: unknown) => {
    if (isAbsent(error)) return undefined
    throw error
  })
  if (first === undefined) return undefined
  const stream = Readable.from(bytesOf(object, first, explain), { objectMode: false })
  // A stream that nobody reads must give its connection back all the same.
  return stream.once('close', () => bodyOf(first).destroy())
}

async function* bytesOf(
  object: S3Object,
  first: GetObjectCommandOutput,
  explain: (error: unknown) => unknown,
): AsyncGenerator<Buffer> {
  const sizeBytes = first.ContentLength ?? 0
  let readBytes = 0
  let fruitless = 0
  let answer = first
  for (;;) {
    const before = readBytes
    try {
      for await (const chunk of bodyOf(answer)) {
        readBytes += chunk.length
        yield chunk
      }
      if (readBytes >= sizeBytes) return
    } catch (error) {
      fruitless = readBytes > before ? 0 : fruitless + 1
      if (fruitless >= fruitlessAttempts) throw explain(error)
    }
    answer = await getFrom(object, readBytes).catch((error: unknown) => Promise.reject(explain(error)))
  }
}

function getFrom({ client, bucket, name }: S3Object, offset: number): Promise<GetObjectCommandOutput> {
  return client.getObject({ Bucket: bucket, Key: name, ...(offset === 0 ? {} : { Range: `bytes=${offset}-` }) })
}

function bodyOf({ Body }: GetObjectCommandOutput): Readable {
  if (Body instanceof Readable) return Body
  throw new TypeError('the answer to GetObject has no body')
}
