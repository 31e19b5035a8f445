import { readFile } from 'node:fs/promises'
import { join } from 'node:path'
import { expect, onTestFinished, test } from 'vitest'
import { openTestSandbox, uniqueScope } from '../runner/test-sandbox.ts'
import { createFileStore } from '../store/file-store.ts'
import { healthKey } from '../store/keys.ts'
import type { Healthcheck } from '../tasks/task.ts'
import { temporaryFolder } from '../testing/temporary-folder.ts'
import { awaitHealthy } from './healthcheck.ts'

const quick: Omit<Healthcheck, 'command'> = {
  intervalMs: 0,
  timeoutMs: 5_000,
  startPeriodMs: 0,
  startIntervalMs: 0,
  retries: 3,
}

/** A health check in a real sandbox; `rounds` is how often it has run there. */
async function checkIn(command: string, more: Partial<Healthcheck> = {}) {
  const sandbox = await openTestSandbox({ shell: 'bash' })
  onTestFinished(() => sandbox[Symbol.asyncDispose]())
  const store = createFileStore(await temporaryFolder('health'))
  const place = { job: 'j', rollout: 'a.nop.1', incarnation: 1, phase: 0 }
  const id = { scope: uniqueScope(), phase: 0, batch: 2, call: 0, part: 0 }
  const runner = sandbox.open()
  const check = { ...quick, ...more, command: `echo x >> rounds; n=$(wc -l < rounds); ${command}` }
  const once = (signal = new AbortController().signal) =>
    awaitHealthy(check, { runner, store, place, id, cwd: sandbox.workdir, signal, field: 'environment.healthcheck' })
  const rounds = async () => (await readFile(join(sandbox.workdir, 'rounds'), 'utf8')).trim().split('\n').length
  return { once, rounds, store, place }
}

test('the first success is enough', async () => {
  const { once, rounds } = await checkIn('[ $n = 2 ]')
  await once()
  expect(await rounds()).toBe(2)
})

test('so many failures in a row are the end, with what the last one said', async () => {
  const { once, rounds } = await checkIn('echo not yet; exit 3', { retries: 2 })
  await expect(once()).rejects.toMatchObject({
    code: 'healthcheck-failed',
    message: 'environment.healthcheck failed 2 times in a row; the last time it exited with 3 and printed: not yet',
  })
  expect(await rounds()).toBe(2)
})

test('failures in the start period do not count', async () => {
  const { once, rounds } = await checkIn('[ $n = 4 ]', { retries: 1, startPeriodMs: 60_000, intervalMs: 600_000 })
  await once()
  expect(await rounds()).toBe(4)
})

test('one that does not end in its time has failed', async () => {
  const { once } = await checkIn('sleep 60', { retries: 1, timeoutMs: 100 })
  await expect(once()).rejects.toMatchObject({ message: expect.stringContaining('timed-out and printed nothing') })
})

test('after its worker’s death it goes on where it was: no run is repeated or counted twice', async () => {
  const { once, rounds, store, place } = await checkIn('[ $n = 3 ]')
  const dead = new AbortController()
  const waiting = once(dead.signal)
  await expect.poll(() => store.get(healthKey({ ...place, round: 0 }))).toBeDefined()
  dead.abort(new Error('the worker is dead'))
  await expect(waiting).rejects.toThrow()
  await once()
  expect(await rounds()).toBe(3)
  await once()
  expect(await rounds()).toBe(3)
})
