import { Readable } from 'node:stream'
import { buffer } from 'node:stream/consumers'
import type { ListObjectsV2CommandOutput, S3 } from '@aws-sdk/client-s3'
import { RollcallError } from '../protocol/failure.ts'
import { connectS3 } from './s3-client.ts'
import type { S3Credentials } from './s3-client.ts'
import { openObject } from './s3-download.ts'
import { s3Failure } from './s3-errors.ts'
import { putBytes, putStream } from './s3-upload.ts'
import type { S3Place } from './s3-url.ts'
import { assertStoreKey } from './store.ts'
import type { Store } from './store.ts'

/**
 * A store in a bucket of S3, or of a server like it. Objects are published by conditional writes (`If-None-Match: *`),
 * so any number of hosts may write at once. Connects at the first call.
 * @param credentials instead of those of the process
 */
export function createS3Store(place: S3Place, credentials?: S3Credentials): Store {
  return new S3Store(place, credentials)
}

/** One object of the bucket. */
export interface S3Object {
  readonly client: S3
  readonly bucket: string
  /** With the store's prefix. */
  readonly name: string
}

class S3Store implements Store {
  readonly url: string
  readonly #place: S3Place
  readonly #connect: () => Promise<S3>
  #isProven = false

  constructor(place: S3Place, credentials: S3Credentials | undefined) {
    this.url = place.url
    this.#place = place
    let client: Promise<S3> | undefined
    this.#connect = () => (client ??= connectS3(place, credentials))
  }

  putOnce(key: string, bytes: Uint8Array | Readable): Promise<'stored' | 'exists'> {
    return this.#explained(key, async () => {
      const object = await this.#object(key)
      if (bytes instanceof Readable) return await putStream(object, bytes)
      const answer = await putBytes(object, bytes)
      if (answer === 'stored' && !this.#isProven) await this.#prove(object, bytes)
      return answer
    })
  }

  get(key: string): Promise<Buffer | undefined> {
    return this.#explained(key, async () => {
      const stream = await openObject(await this.#object(key))
      return stream && (await buffer(stream))
    })
  }

  open(key: string): Promise<Readable | undefined> {
    return this.#explained(key, async () => {
      return await openObject(await this.#object(key), (error) => s3Failure(error, { url: this.url, key }))
    })
  }

  list(prefix: string): Promise<string[]> {
    return this.#explained(prefix, async () => {
      const { bucket, keyPrefix } = this.#place
      const client = await this.#connect()
      const names: string[] = []
      let page: ListObjectsV2CommandOutput | undefined
      do {
        const after = page?.NextContinuationToken === undefined ? {} : { ContinuationToken: page.NextContinuationToken }
        page = await client.listObjectsV2({ Bucket: bucket, Prefix: keyPrefix + prefix, ...after })
        for (const { Key } of page.Contents ?? []) if (Key !== undefined) names.push(Key)
      } while (page.NextContinuationToken !== undefined)
      return names.map((name) => name.slice(keyPrefix.length)).toSorted()
    })
  }

  async #object(key: string): Promise<S3Object> {
    assertStoreKey(key)
    return { client: await this.#connect(), bucket: this.#place.bucket, name: this.#place.keyPrefix + key }
  }

  /** Repeats the first write: a server that ignores the condition would let one worker overwrite another's answer. */
  async #prove(object: S3Object, bytes: Uint8Array): Promise<void> {
    this.#isProven = (await putBytes(object, bytes)) === 'exists'
    if (this.#isProven) return
    throw new RollcallError(
      'configuration-invalid',
      `The server of the store ${this.url} ignores the condition If-None-Match of a write, so workers would overwrite ` +
        'each other: use AWS S3, a newer version of the server, or another one',
    )
  }

  async #explained<T>(key: string, work: () => Promise<T>): Promise<T> {
    try {
      return await work()
    } catch (error) {
      throw s3Failure(error, { url: this.url, key })
    }
  }
}
