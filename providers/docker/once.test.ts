import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach, beforeEach, expect, test } from 'vitest'
import { OnceTable, untilAborted } from './once.ts'

let lockDirectory: string

beforeEach(async () => {
  lockDirectory = await mkdtemp(join(tmpdir(), 'rollcall-once-'))
})

afterEach(async () => {
  await rm(lockDirectory, { recursive: true })
})

test('all who ask for a key at the same time share one piece of work, and hear its progress', async () => {
  const table = new OnceTable<number>(lockDirectory)
  let runs = 0
  const heard: string[] = []
  const ask = (onProgress?: (line: string) => void) =>
    table.run('key', async (report) => (report('working'), ++runs), { onProgress })
  expect(await Promise.all([ask((line) => heard.push(`a ${line}`)), ask((line) => heard.push(`b ${line}`))])).toEqual([
    1, 1,
  ])
  expect(heard).toEqual(['a working', 'b working'])
  expect(await ask()).toBe(2)
})

test('two processes never work on one key at the same time', async () => {
  const tables = [new OnceTable<void>(lockDirectory), new OnceTable<void>(lockDirectory)]
  let inside = 0
  let most = 0
  const work = async () => {
    most = Math.max(most, ++inside)
    await new Promise((resolve) => setImmediate(resolve))
    inside--
  }
  await Promise.all(tables.map((table) => table.run('key', work, {})))
  expect(most).toBe(1)
})

test('work that fails fails for all who asked, and can be tried again', async () => {
  const table = new OnceTable<string>(lockDirectory)
  const fail = () => Promise.reject(new Error('no'))
  const asked = [table.run('key', fail, {}), table.run('key', fail, {})]
  expect((await Promise.allSettled(asked)).map((result) => result.status)).toEqual(['rejected', 'rejected'])
  expect(await table.run('key', async () => 'yes', {})).toBe('yes')
})

test('one who stops waiting does not stop the work for the others', async () => {
  const table = new OnceTable<string>(lockDirectory)
  const finish = Promise.withResolvers<string>()
  const leaving = new AbortController()
  const first = table.run('key', () => finish.promise, { signal: leaving.signal })
  const second = table.run('key', () => finish.promise, {})
  leaving.abort(new Error('left'))
  await expect(first).rejects.toThrow('left')
  finish.resolve('done')
  expect(await second).toBe('done')
})

test('what is aborted already is not waited for', async () => {
  await expect(untilAborted(Promise.resolve(1), AbortSignal.abort(new Error('left')))).rejects.toThrow('left')
})
