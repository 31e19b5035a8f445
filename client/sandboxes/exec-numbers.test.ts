import { expect, test } from 'vitest'
import { ExecNumbers } from './exec-numbers.ts'

const lease = { scope: 'slot0', phase: 3 }
const startMs = 1_800_000_000_000

test('the first mark of a process leaves what another one has begun just before; later ones forget what it has answered', () => {
  const other = new ExecNumbers(lease, () => startMs - 60_000).next().execId(0).batch
  const numbers = new ExecNumbers(lease, () => startMs)
  const first = numbers.next()
  expect(numbers.mark().batch).toBeLessThan(other)
  first.done()
  const second = numbers.next()
  expect(numbers.mark().batch).toBe(second.execId(0).batch)
  second.done()
  expect(numbers.mark().batch).toBe(second.execId(0).batch + 1)
})

test('requests with ids lie above every mark, and each has one number for ever', () => {
  const [one, again] = [new ExecNumbers(lease), new ExecNumbers(lease)]
  expect(one.next('a').execId(1)).toEqual(again.next('a').execId(1))
  expect(one.next('a').execId(0)).not.toEqual(one.next('b').execId(0))
  expect(one.mark().batch).toBe(0)
  one.next().done()
  expect(one.mark().batch).toBeLessThan(one.next('a').execId(0).batch)
})
