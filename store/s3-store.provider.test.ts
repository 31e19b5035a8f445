import { createHash } from 'node:crypto'
import { Readable } from 'node:stream'
import { pipeline } from 'node:stream/promises'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { freePort } from '../client/server/ports.ts'
import { bucketName, S3Server } from './fixtures/s3-server.ts'
import { connectS3 } from './s3-client.ts'
import { createS3Store } from './s3-store.ts'
import { parseS3Url } from './s3-url.ts'
import { describeStoreContract } from './store-contract.ts'

/** On a real server like S3 (versitygw). */

const mebibyte = 1024 ** 2

let server: S3Server
let stores = 0

beforeAll(async () => {
  server = await S3Server.start()
})

afterAll(() => server.remove())

const storeAt = (prefix: string) => createS3Store(parseS3Url(server.url(prefix)), server.credentials)
const emptyStore = async () => storeAt(`stores/${(stores += 1)}`)

describeStoreContract('s3', emptyStore)

/** So many MiB, each different. */
function* content(sizeMiB: number): Generator<Buffer> {
  for (let n = 0; n < sizeMiB; n += 1) yield Buffer.alloc(mebibyte, `${n} `)
}

async function hashOf(source: AsyncIterable<Buffer> | Iterable<Buffer>): Promise<string> {
  const hash = createHash('sha256')
  await pipeline(source, hash)
  return hash.digest('hex')
}

async function unfinishedUploads() {
  const client = await connectS3(parseS3Url(server.url()), server.credentials)
  return (await client.listMultipartUploads({ Bucket: bucketName })).Uploads ?? []
}

describe('objects of several parts', () => {
  test('40 MiB from a stream are read back byte for byte, as a stream and whole', async () => {
    const store = await emptyStore()
    expect(await store.putOnce('large', Readable.from(content(40)))).toBe('stored')
    const stream = await store.open('large')
    expect(stream && (await hashOf(stream))).toBe(await hashOf(content(40)))
    expect((await store.get('large'))?.length).toBe(40 * mebibyte)
    expect(await store.putOnce('large', Readable.from(content(41)))).toBe('exists')
    expect((await store.get('large'))?.length).toBe(40 * mebibyte)
  })

  test('of ten concurrent ones exactly one is stored, and nothing is left of the others', async () => {
    const store = await emptyStore()
    const sizes = Array.from({ length: 10 }, (_, n) => 9 + n)
    const answers = await Promise.all(sizes.map((size) => store.putOnce('race', Readable.from(content(size)))))
    expect(answers.filter((answer) => answer === 'stored')).toHaveLength(1)
    expect((await store.get('race'))?.length).toBe((sizes[answers.indexOf('stored')] ?? 0) * mebibyte)
    expect(await unfinishedUploads()).toEqual([])
  })

  test('a stream that breaks off after two parts leaves nothing', async () => {
    const store = await emptyStore()
    const broken = (function* () {
      yield* content(20)
      throw new Error('cut')
    })()
    await expect(store.putOnce('half', Readable.from(broken))).rejects.toMatchObject({ code: 'store-unavailable' })
    expect(await store.list('')).toEqual([])
    expect(await unfinishedUploads()).toEqual([])
  })
})

test('a list of more than a page is whole, and ends where the store of another prefix begins', async () => {
  const [store, other] = [storeAt('pages'), storeAt('pages-of-another')]
  const keys = Array.from({ length: 1_005 }, (_, n) => `k/${String(n).padStart(4, '0')}`)
  await Promise.all([...keys.map((key) => store.putOnce(key, Buffer.from(key))), other.putOnce('x', Buffer.from('x'))])
  expect(await store.list('')).toEqual(keys)
})

test.each(['a..b', 'a.tar.gz', '-', '_', `${'long-'.repeat(40)}/${'x'.repeat(250)}`, 'CON/A/a', '0/00/000'])(
  'key %s is kept as it is',
  async (key) => {
    const store = await emptyStore()
    expect(await store.putOnce(key, Buffer.from(key))).toBe('stored')
    expect(await store.list('')).toEqual([key])
    expect(String(await store.get(key))).toBe(key)
  },
)

describe('a server that is killed and started again', () => {
  test('what is written and read meanwhile is written and read', async () => {
    const store = await emptyStore()
    await store.putOnce('before', Buffer.from('before'))
    await server.kill()
    const puts = Array.from({ length: 200 }, (_, n) => store.putOnce(`during/${n}`, Buffer.from(String(n))))
    const [answers, before] = await Promise.all([Promise.all(puts), store.get('before'), server.run()])
    expect(new Set(answers)).toEqual(new Set(['stored']))
    expect(String(before)).toBe('before')
    expect(await store.list('during/')).toHaveLength(200)
  })

  test('a stream that is being read goes on at the same byte', async () => {
    const store = await emptyStore()
    await store.putOnce('large', Readable.from(content(30)))
    const stream = await store.open('large')
    const restarted = (async function* () {
      let isFirst = true
      for await (const chunk of stream ?? []) {
        if (isFirst) await server.kill().then(() => server.run())
        isFirst = false
        yield chunk
      }
    })()
    expect(await hashOf(restarted)).toBe(await hashOf(content(30)))
  })

  test('a stream that is being written goes on with the next part', async () => {
    const store = await emptyStore()
    const interrupted = (async function* () {
      yield* content(20)
      await server.kill()
      await server.run()
      yield* content(20)
    })()
    expect(await store.putOnce('large', Readable.from(interrupted))).toBe('stored')
    expect((await store.get('large'))?.length).toBe(40 * mebibyte)
  })
})

describe('what the operator must mend', () => {
  test.each([
    ['an unknown key', { accessKeyId: 'AKIAUNKNOWN' }, 'XAdminUserNotFound'],
    ['a wrong secret', { secretAccessKey: 'not-the-secret' }, 'SignatureDoesNotMatch'],
  ])('%s is refused for good, without showing it', async (_, wrong, name) => {
    const store = createS3Store(parseS3Url(server.url('x')), { ...server.credentials, ...wrong })
    const error = await store.get('key').catch((thrown: unknown) => thrown)
    expect(error).toMatchObject({ code: 'configuration-invalid', message: expect.stringContaining(name) })
    for (const secret of Object.values({ ...server.credentials, ...wrong })) expect(String(error)).not.toContain(secret)
  })

  test('a bucket that does not exist is named with what to do', async () => {
    const store = createS3Store(parseS3Url(server.url('x', 'no-such-bucket')), server.credentials)
    const missing = { code: 'configuration-invalid', message: expect.stringContaining('bucket does not exist') }
    await expect(store.get('key')).rejects.toMatchObject(missing)
    await expect(store.putOnce('key', Buffer.alloc(1))).rejects.toMatchObject(missing)
    await expect(store.putOnce('key', Readable.from(content(9)))).rejects.toMatchObject(missing)
    await expect(store.list('')).rejects.toMatchObject(missing)
  })

  test('another region is named with the setting', async () => {
    const url = server.url('x')
    url.searchParams.set('region', 'eu-west-1')
    const store = createS3Store(parseS3Url(url), server.credentials)
    await expect(store.get('key')).rejects.toMatchObject({
      code: 'configuration-invalid',
      message: expect.stringContaining('?region='),
    })
  })

  test('a server that nobody runs is unavailable, which is worth another try', async () => {
    const url = new URL(`s3://bucket?endpoint=http://127.0.0.1:${await freePort()}&region=us-east-1`)
    await expect(createS3Store(parseS3Url(url), server.credentials).get('key')).rejects.toMatchObject({
      code: 'store-unavailable',
      message: expect.stringContaining('does not answer (ECONNREFUSED)'),
    })
  })
})
