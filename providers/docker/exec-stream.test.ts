import { once } from 'node:events'
import { createServer, connect, type Socket } from 'node:net'
import { afterEach, expect, test } from 'vitest'
import { execStream, stdoutSplitter } from './exec-stream.ts'

const open: { destroy(): unknown }[] = []

afterEach(() => {
  for (const socket of open.splice(0)) socket.destroy()
})

test('frames are taken apart wherever the chunks are cut, and stderr is dropped', () => {
  const bytes = Buffer.concat([frame(1, 'one '), frame(2, 'not this'), frame(1, ''), frame(1, 'two')])
  for (let cut = 0; cut <= bytes.length; cut++) {
    const split = stdoutSplitter()
    const payloads = [...split(bytes.subarray(0, cut)), ...split(bytes.subarray(cut))]
    expect(Buffer.concat(payloads).toString()).toBe('one two')
  }
})

test('what is written arrives, end is end of file, and the answer can still be read after it', async () => {
  const { stream, engine } = await connected()
  stream.end('request')
  const [request] = await once(engine, 'data')
  expect(String(request)).toBe('request')
  await once(engine, 'end')
  engine.end(frame(1, 'answer'))
  expect(Buffer.concat(await stream.toArray()).toString()).toBe('answer')
})

test('a reader that stands still stops the sender', async () => {
  const { stream, engine } = await connected()
  const chunk = frame(1, 'x'.repeat(1 << 20))
  for (let sent = 0; sent < 64; sent++) engine.write(chunk)
  await once(stream, 'readable')
  expect(engine.writableLength).toBeGreaterThan(32 << 20)
  engine.end()
  let bytes = 0
  for await (const piece of stream) bytes += piece.length
  expect(bytes).toBe(64 << 20)
})

test('a connection that the Engine cuts ends the stream without an error', async () => {
  const { stream, engine } = await connected()
  engine.resetAndDestroy()
  expect(await stream.toArray()).toEqual([])
})

test('destroying the stream closes the connection', async () => {
  const { stream, engine } = await connected()
  stream.destroy()
  engine.resume()
  await once(engine, 'end')
})

function frame(kind: number, text: string): Buffer {
  const payload = Buffer.from(text)
  const header = Buffer.alloc(8)
  header[0] = kind
  header.writeUInt32BE(payload.length, 4)
  return Buffer.concat([header, payload])
}

async function connected(): Promise<{ stream: ReturnType<typeof execStream>; engine: Socket }> {
  const server = createServer({ allowHalfOpen: true })
  await once(server.listen(0, '127.0.0.1'), 'listening')
  const address = server.address()
  if (address === null || typeof address === 'string') throw new Error('no port')
  const accepted = once(server, 'connection')
  const stream = execStream(connect(address.port, '127.0.0.1'))
  const [engine]: Socket[] = await accepted
  if (engine === undefined) throw new Error('no connection')
  server.close()
  open.push(stream, engine)
  return { stream, engine }
}
