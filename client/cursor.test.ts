import { expect, test } from 'vitest'
import { Cursor } from './cursor.ts'

test('a cursor goes through text unchanged', () => {
  const cursor = Cursor.parse(undefined)
  for (const rollout of [0, 1, 2, 9]) cursor.finish(rollout)
  cursor.advance(4)
  cursor.advance(4)
  cursor.jobState = 'paused'
  const again = Cursor.parse(cursor.toString())
  expect([0, 1, 2, 3, 9].map((rollout) => again.isDone(rollout))).toEqual([true, true, true, false, true])
  expect([again.countOf(4), again.countOf(5), again.jobState]).toEqual([2, 0, 'paused'])
})

test('a cursor is bounded by what is in flight, not by the size of the job', () => {
  const cursor = Cursor.parse(undefined)
  for (let rollout = 0; rollout < 10_000; rollout += 1) {
    cursor.advance(rollout)
    cursor.finish(rollout)
  }
  expect(cursor.toString().length).toBeLessThan(100)
})

test.each(['', 'nonsense', Buffer.from('{"d":[[1]]}').toString('base64url'), Buffer.from('[]').toString('base64url')])(
  'cursor %j is refused by name',
  (text) => {
    expect(() => Cursor.parse(text)).toThrow(expect.objectContaining({ code: 'configuration-invalid' }))
  },
)
