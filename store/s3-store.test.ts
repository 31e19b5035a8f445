import { once } from 'node:events'
import { createServer } from 'node:http'
import type { IncomingMessage } from 'node:http'
import { Readable } from 'node:stream'
import { expect, onTestFinished, test } from 'vitest'
import { createS3Store } from './s3-store.ts'
import { parseS3Url } from './s3-url.ts'

/** Answers that versitygw never gives, as AWS documents them. */

interface Answer {
  readonly status: number
  readonly code?: string
  /** Instead of the code's. */
  readonly body?: string
}

/** A store whose server gives these answers, one after the other, and the last one again. */
async function storeWhoseServerAnswers(...answers: readonly Answer[]) {
  const requests: IncomingMessage[] = []
  const server = createServer((request, response) => {
    const { status, code, body } = answers[Math.min(requests.length, answers.length - 1)] ?? { status: 500 }
    requests.push(request.resume())
    response.writeHead(status, { 'content-type': 'application/xml' })
    response.end(body ?? (code && `<?xml version="1.0"?><Error><Code>${code}</Code><Message>said so</Message></Error>`))
  })
  server.listen(0, '127.0.0.1')
  await once(server, 'listening')
  onTestFinished(() => void server.close())
  const address = server.address()
  const port = address === null || typeof address === 'string' ? 0 : address.port
  const place = parseS3Url(new URL(`s3://bucket?endpoint=http://127.0.0.1:${port}&region=us-east-1`))
  return { store: createS3Store(place, { accessKeyId: 'a', secretAccessKey: 'b' }), requests }
}

const put = { status: 200 }
const taken = { status: 412, code: 'PreconditionFailed' }
const conflict = { status: 409, code: 'ConditionalRequestConflict' }

test('a server that ignores the condition of a write is refused at the first one', async () => {
  const { store, requests } = await storeWhoseServerAnswers(put)
  await expect(store.putOnce('key', Buffer.from('x'))).rejects.toMatchObject({
    code: 'configuration-invalid',
    message: expect.stringContaining('ignores the condition If-None-Match'),
  })
  expect(requests[0]?.headers['if-none-match']).toBe('*')
})

test('a conflict with a write that is under way is looked at again: the other one has won', async () => {
  const { store, requests } = await storeWhoseServerAnswers(conflict, conflict, taken)
  expect(await store.putOnce('key', Buffer.from('x'))).toBe('exists')
  expect(requests).toHaveLength(3)
})

test('… or has come to nothing, and this one is stored', async () => {
  const { store } = await storeWhoseServerAnswers(conflict, put, taken)
  expect(await store.putOnce('key', Buffer.from('x'))).toBe('stored')
})

test('an upload whose completion was answered by nobody is over: what is there then was stored', async () => {
  const [absent, part] = [{ status: 404 }, { status: 200 }]
  const begun = {
    status: 200,
    body: '<InitiateMultipartUploadResult><UploadId>u</UploadId></InitiateMultipartUploadResult>',
  }
  const over = { status: 404, code: 'NoSuchUpload' }
  const { store } = await storeWhoseServerAnswers(absent, begun, part, part, over, over, put)
  expect(await store.putOnce('key', Readable.from([Buffer.alloc(9 * 1024 ** 2)]))).toBe('exists')
})

test('a server that is too busy is asked again, and a request that fails for good is not', async () => {
  const busy = await storeWhoseServerAnswers({ status: 503, code: 'SlowDown' }, { status: 500 }, taken)
  expect(await busy.store.putOnce('key', Buffer.from('x'))).toBe('exists')
  const denied = await storeWhoseServerAnswers({ status: 403, code: 'AccessDenied' })
  await expect(denied.store.get('key')).rejects.toMatchObject({ code: 'configuration-invalid' })
  expect(denied.requests).toHaveLength(1)
})

test('a page that is not found is no missing object: perhaps no store is there at all', async () => {
  const { store } = await storeWhoseServerAnswers({ status: 404 })
  await expect(store.get('key')).rejects.toMatchObject({ code: 'store-unavailable' })
})

test.each([
  ['ExpiredToken', 400, 'store-unavailable', 'expired'],
  ['InvalidAccessKeyId', 403, 'configuration-invalid', 'refuses the credentials of this process (InvalidAccessKeyId)'],
  ['PermanentRedirect', 301, 'configuration-invalid', 'region'],
  ['NotImplemented', 501, 'configuration-invalid', 'conditional writes'],
  ['EntityTooLarge', 400, 'store-unavailable', 'EntityTooLarge: said so (HTTP 400)'],
])('%s is %s %s', async (code, status, failure, says) => {
  const { store } = await storeWhoseServerAnswers({ status, code })
  await expect(store.putOnce('some/key', Buffer.from('x'))).rejects.toMatchObject({
    code: failure,
    message: expect.stringMatching(/^The store s3:\/\/bucket\?.* failed at "some\/key": /),
  })
  await expect(store.putOnce('some/key', Buffer.from('x'))).rejects.toThrow(says)
})
