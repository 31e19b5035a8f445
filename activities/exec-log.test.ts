import { mkdtemp } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { Readable } from 'node:stream'
import { pipeline } from 'node:stream/promises'
import { expect, test } from 'vitest'
import { createFileStore } from '../store/file-store.ts'
import { outputKey } from '../store/keys.ts'
import { ExecLog } from './exec-log.ts'

const at = { job: 'j', rollout: 'a.oracle.1', incarnation: 1 }
const id = { scope: 's', phase: 1, batch: 0, call: 0, part: 0 }
const key = outputKey({ ...at, exec: '1-0-0-0', stream: 'stdout' })

async function emptyLog() {
  const store = createFileStore(await mkdtemp(join(tmpdir(), 'rollcall-log-')))
  return { store, log: new ExecLog(at, store) }
}

test.each([1, 1_000, 300_000, 5_000_000])('%i bytes of output are stored whole', async (size) => {
  const { store, log } = await emptyLog()
  const bytes = Buffer.alloc(size, 'ab')
  await pipeline(Readable.from(chunksOf(bytes)), log.spool(id, 'stdout'))
  await log.flush()
  expect((await store.get(key))?.equals(bytes)).toBe(true)
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
    const { store, log } = await emptyLog()
    const cut = log.spool(id, 'stdout')
    await new Promise((resolve) => cut.write(Buffer.alloc(size), resolve))
    cut.destroy()
    await log.flush().catch(() => undefined)
    expect(await store.list('')).toEqual([])
    const again = new ExecLog(at, store)
    again.spool(id, 'stdout').end(Buffer.alloc(size + 1))
    await again.flush()
    expect((await store.get(key))?.length).toBe(size + 1)
  },
)

function* chunksOf(bytes: Buffer): Generator<Buffer> {
  for (let from = 0; from < bytes.length; from += 65_536) yield bytes.subarray(from, from + 65_536)
}
