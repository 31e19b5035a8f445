import { Readable } from 'node:stream'
import { finished, pipeline } from 'node:stream/promises'
import { expect, test } from 'vitest'
import { createFileStore } from '../store/file-store.ts'
import { outputKey } from '../store/keys.ts'
import type { Store } from '../store/store.ts'
import { ExecLog } from './exec-log.ts'
import { temporaryFolder } from '../testing/temporary-folder.ts'

const at = { job: 'j', rollout: 'a.oracle.1', incarnation: 1 }
const id = { scope: 's', phase: 1, batch: 0, call: 0, part: 0 }
const key = outputKey({ ...at, exec: '1-0-0-0', stream: 'stdout' })

async function emptyLog() {
  const store = createFileStore(await temporaryFolder('log'))
  return { store, log: new ExecLog(at, store) }
}

test.each([1, 1_000, 300_000, 5_000_000])('%i bytes of output are stored whole', async (size) => {
  const { store, log } = await emptyLog()
  const bytes = Buffer.alloc(size, 'ab')
  await pipeline(Readable.from(chunksOf(bytes)), log.spool(id, 'stdout'))
  await log.flush()
  expect((await store.get(key))?.equals(bytes)).toBe(true)
})

test.each([1_000, 1_000_000])('of an endless stream the first %i bytes are stored', async (keptBytes) => {
  const { store } = await emptyLog()
  const log = new ExecLog(at, store, keptBytes)
  const bytes = Buffer.alloc(3_000_000, 'ab')
  await pipeline(Readable.from(chunksOf(bytes)), log.spool(id, 'stdout'))
  await log.flush()
  expect((await store.get(key))?.equals(bytes.subarray(0, keptBytes))).toBe(true)
})

test('an empty stream leaves no object', async () => {
  const { store, log } = await emptyLog()
  log.spool(id, 'stdout').end()
  await log.flush()
  expect(await store.list('')).toEqual([])
})

test.each([10, 2_000_000])(
  'output that was cut after %i bytes is not stored, and can be stored whole later',
  async (size) => {
    const { store } = await emptyLog()
    const puts: Promise<unknown>[] = []
    const putOnce: Store['putOnce'] = (name, source) => {
      const put = store.putOnce(name, source)
      puts.push(put)
      return put
    }
    const log = new ExecLog(at, { ...store, putOnce })
    const cut = log.spool(id, 'stdout')
    await new Promise((resolve) => cut.write(Buffer.alloc(size), resolve))
    cut.destroy()
    await log.flush().catch(() => undefined)
    await Promise.allSettled(puts)
    expect(await store.list('')).toEqual([])
    const again = new ExecLog(at, store)
    again.spool(id, 'stdout').end(Buffer.alloc(size + 1))
    await again.flush()
    expect((await store.get(key))?.length).toBe(size + 1)
  },
)

test.each([10, 2_000_000])('flush does not wait for output that was cut after %i bytes', async (size) => {
  const { log } = await emptyLog()
  const cut = log.spool(id, 'stdout')
  await new Promise((resolve) => cut.write(Buffer.alloc(size), resolve))
  cut.destroy()
  await finished(cut).catch(() => undefined)
  await expect(log.flush()).resolves.toBeUndefined()
})

test.each([10, 2_000_000])(
  'flush reports a stream that broke after %i bytes, and nothing of it is stored',
  async (size) => {
    const { store, log } = await emptyLog()
    const broken = log.spool(id, 'stdout')
    await new Promise((resolve) => broken.write(Buffer.alloc(size), resolve))
    broken.destroy(new Error('the stream broke'))
    await expect(log.flush()).rejects.toThrow('the stream broke')
    expect(await store.list('')).toEqual([])
  },
)

test.each([10, 2_000_000])(
  'output of %i bytes that has ended is stored, though its stream is destroyed',
  async (size) => {
    const { store, log } = await emptyLog()
    const ended = log.spool(id, 'stdout')
    await finished(ended.end(Buffer.alloc(size)))
    ended.destroy()
    await log.flush()
    expect((await store.get(key))?.length).toBe(size)
  },
)

test('a call does not wait until its output is on disk; flush does', async () => {
  const { store } = await emptyLog()
  const disk = Promise.withResolvers<void>()
  const slow: Store = { ...store, putOnce: (key, bytes) => disk.promise.then(() => store.putOnce(key, bytes)) }
  const log = new ExecLog(at, slow)
  await finished(log.spool(id, 'stdout').end('hi'))
  const flushed = log.flush()
  expect(await store.list('')).toEqual([])
  disk.resolve()
  await flushed
  expect((await store.get(key))?.toString()).toBe('hi')
})

test.each([10, 2_000_000])('flush reports that %i bytes could not be stored', async (size) => {
  const { store } = await emptyLog()
  const log = new ExecLog(at, { ...store, putOnce: () => Promise.reject(new Error('the disk is full')) })
  await finished(log.spool(id, 'stdout').end(Buffer.alloc(size))).catch(() => undefined)
  await expect(log.flush()).rejects.toThrow('the disk is full')
})

function* chunksOf(bytes: Buffer): Generator<Buffer> {
  for (let from = 0; from < bytes.length; from += 65_536) yield bytes.subarray(from, from + 65_536)
}
