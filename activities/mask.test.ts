import { buffer } from 'node:stream/consumers'
import { Readable } from 'node:stream'
import { describe, expect, test } from 'vitest'
import { RollcallError } from '../protocol/failure.ts'
import { Mask } from './mask.ts'

const mask = new Mask(['s3cr3t-value', 'pässwörd!', 'short', 'sesame-open'])

async function streamed(text: string, chunkBytes: number): Promise<string> {
  const bytes = Buffer.from(text)
  const chunks = Array.from({ length: Math.ceil(bytes.length / chunkBytes) }, (_, index) =>
    bytes.subarray(index * chunkBytes, (index + 1) * chunkBytes),
  )
  return (await buffer(Readable.from(chunks).pipe(mask.stream()))).toString()
}

describe('masking', () => {
  test('values are replaced wherever they stand, those of fewer than 6 characters are not', () => {
    expect(mask.text('a s3cr3t-value, pässwörd! and short')).toBe('a ***, *** and short')
    expect(new Mask([]).isIdle).toBe(true)
    expect(new Mask(['12345']).isIdle).toBe(true)
    expect(new Mask(['123456']).text('<123456>')).toBe('<***>')
  })

  test('a value is searched as it stands, whatever its characters mean elsewhere', () => {
    expect(new Mask(['a.b*c(d[', 'p+q|r^$/']).text('a.b*c(d[ axb*c(d[ p+q|r^$/')).toBe('*** axb*c(d[ ***')
  })

  test('of values that overlap the longest is masked, also in a stream', async () => {
    const overlapping = new Mask(['cdefgh', 'abcdefghij'])
    const pieces = Readable.from([Buffer.from('xabcdefgh'), Buffer.from('ijy')])
    expect((await buffer(pieces.pipe(overlapping.stream()))).toString()).toBe('x***y')
  })

  test('a value with a line end, as files have it, is found without it, too', () => {
    expect(new Mask(['from-a-file\n']).text('(from-a-file)')).toBe('(***)')
  })

  test('however a stream is cut into chunks, nothing of a value gets through', async () => {
    const text = 'x s3cr3t-values3cr3t-value pässwörd! s3cr3t-valu sesame-opesesame-open s3'
    for (let bytes = 1; bytes <= 20; bytes += 1) {
      expect(await streamed(text, bytes), `${bytes} bytes`).toBe('x ****** *** s3cr3t-valu sesame-ope*** s3')
    }
  })

  test('a piece of a longer output tells no part of a value, however it is cut into chunks', async () => {
    for (const bytes of [1, 3, 7, 100]) {
      const chunks = (text: string) =>
        Readable.from((text.match(new RegExp(`[^]{1,${bytes}}`, 'g')) ?? []).map((part) => Buffer.from(part)))
      const piece = async (text: string) => (await buffer(chunks(text).pipe(mask.stream({ isPiece: true })))).toString()
      expect(await piece('-value and then s3cr3t-value, at last s3cr3t-va')).toBe('*** and then ***, at last ***')
      expect(await piece('t-value')).toBe('***')
      expect(await piece('fine')).toBe('fine')
      expect(await piece('a long text in which nothing is to be masked at all')).toContain('masked at all')
    }
  })

  test('a value that was cut where output was left out is not told in two halves', () => {
    const { head, tail } = mask.cut({ head: Buffer.from('head s3cr3t-'), tail: Buffer.from('t-value tail') })
    expect(head.toString()).toBe('head ***')
    expect(tail.toString()).toBe('*** tail')
    expect(mask.cut({ head: Buffer.from('s3cr'), tail: Buffer.from('alue') })).toEqual({
      head: Buffer.from('***'),
      tail: Buffer.from('***'),
    })
    expect(mask.cut({ head: Buffer.from('less'), tail: Buffer.from('late') })).toEqual({
      head: Buffer.from('less'),
      tail: Buffer.from('late'),
    })
  })

  test('JSON keeps its shape', () => {
    expect(mask.json({ 's3cr3t-value': [1, null, { a: 'pässwörd!' }] })).toEqual({ '***': [1, null, { a: '***' }] })
  })

  test('an error keeps its code and loses what would tell', () => {
    const told = mask.error(
      new RollcallError('model-unavailable', 'key s3cr3t-value', { retryAfterMs: 5, isFinal: true }),
    )
    expect(told).toMatchObject({ code: 'model-unavailable', message: 'key ***', retryAfterMs: 5, isFinal: true })
    expect((told as Error).stack).not.toContain('s3cr3t')
    const bug = mask.error(new Error('of s3cr3t-value'))
    expect(bug).toEqual(new Error('of ***'))
    const other = new Error('fine')
    expect(mask.error(other)).toBe(other)
  })

  test('an error whose cause would tell goes on without it', () => {
    const unreachable = new Error('getaddrinfo ENOTFOUND s3cr3t-value.example.com')
    const thrown = new TypeError('fetch failed', { cause: unreachable })
    const told = mask.error(new RollcallError('grader-failed', 'The grader threw: fetch failed', { cause: thrown }))
    expect(told).toMatchObject({ code: 'grader-failed', message: 'The grader threw: fetch failed' })
    expect((told as Error).cause).toBeUndefined()
    const harmless = new RollcallError('grader-failed', 'It threw', { cause: new Error('fine') })
    expect(mask.error(harmless)).toBe(harmless)
  })
})
