import { Readable } from 'node:stream'
import { text } from 'node:stream/consumers'
import { describe, expect, test } from 'vitest'
import type { Store } from './store.ts'

/** The contract that every store driver must pass: call it in a test file with a way to open an empty store. */
export function describeStoreContract(name: string, openEmpty: () => Promise<Store>): void {
  describe(`store contract: ${name}`, () => {
    test('an object is read back byte for byte, also when it is empty or binary', async () => {
      const store = await openEmpty()
      const binary = Buffer.from(Array.from({ length: 256 }, (_, byte) => byte))
      expect(await store.putOnce('a/binary', binary)).toBe('stored')
      expect(await store.putOnce('a/empty', Buffer.alloc(0))).toBe('stored')
      expect(await store.get('a/binary')).toEqual(binary)
      expect(await store.get('a/empty')).toEqual(Buffer.alloc(0))
    })

    test('a second put answers exists and changes nothing', async () => {
      const store = await openEmpty()
      await store.putOnce('a/b.json', Buffer.from('first'))
      expect(await store.putOnce('a/b.json', Buffer.from('second'))).toBe('exists')
      expect(String(await store.get('a/b.json'))).toBe('first')
    })

    test('of many concurrent puts exactly one is stored', async () => {
      const store = await openEmpty()
      const puts = Array.from({ length: 20 }, (_, n) => store.putOnce('race', Buffer.from(`writer ${n}`)))
      const answers = await Promise.all(puts)
      const winner = answers.indexOf('stored')
      expect(answers.filter((answer) => answer === 'stored')).toHaveLength(1)
      expect(String(await store.get('race'))).toBe(`writer ${winner}`)
    })

    test('a stream is stored whole and can be read as a stream', async () => {
      const store = await openEmpty()
      const chunk = 'x'.repeat(1000)
      await store.putOnce('stream', Readable.from(Array.from({ length: 1000 }, () => Buffer.from(chunk))))
      const stream = await store.open('stream')
      expect(stream && (await text(stream))).toBe(chunk.repeat(1000))
    })

    test('a stream that breaks off stores nothing', async () => {
      const store = await openEmpty()
      const broken = Readable.from(
        (async function* () {
          yield Buffer.from('half')
          throw new Error('cut')
        })(),
      )
      await expect(store.putOnce('half', broken)).rejects.toMatchObject({ code: 'store-unavailable' })
      expect(await store.get('half')).toBeUndefined()
      expect(await store.list('')).toEqual([])
      expect(await store.putOnce('half', Buffer.from('whole'))).toBe('stored')
    })

    test('what is not there is undefined', async () => {
      const store = await openEmpty()
      expect(await store.get('no/such')).toBeUndefined()
      expect(await store.open('no/such')).toBeUndefined()
      expect(await store.list('no/')).toEqual([])
    })

    test('list gives all keys of a literal prefix, sorted, and no others', async () => {
      const store = await openEmpty()
      for (const key of ['j/a/2', 'j/a/1', 'j/ab', 'j/b/1', 'k']) await store.putOnce(key, Buffer.from(key))
      expect(await store.list('j/a')).toEqual(['j/a/1', 'j/a/2', 'j/ab'])
      expect(await store.list('j/a/')).toEqual(['j/a/1', 'j/a/2'])
      expect(await store.list('')).toEqual(['j/a/1', 'j/a/2', 'j/ab', 'j/b/1', 'k'])
    })

    test.each(['', '/abs', 'a//b', '../up', 'a/../b', 'a/.hidden', 'a b', 'ü'])('key %j is refused', async (key) => {
      const store = await openEmpty()
      await expect(async () => store.putOnce(key, Buffer.alloc(1))).rejects.toMatchObject({ code: 'internal' })
    })
  })
}
