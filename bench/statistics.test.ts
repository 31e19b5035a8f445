import { expect, test } from 'vitest'
import { meetsGoal } from './measure.ts'
import { quantile, spread } from './statistics.ts'

test('the median of an even number of values lies between the two in the middle', () => {
  expect(quantile([4, 1, 3, 2], 0.5)).toBe(2.5)
})

test('a spread keeps the tail that a median hides', () => {
  const values = Array.from({ length: 101 }, (_, index) => index)
  expect(spread(values)).toEqual({ min: 0, p50: 50, p95: 95, samples: 101 })
})

test('a measure without values is a bug, not zero', () => {
  expect(() => quantile([], 0.5)).toThrow('Nothing was measured')
})

test.each([
  [{ p50: 3, goal: { atMost: 3 } }, true],
  [{ p50: 3.1, goal: { atMost: 3 } }, false],
  [{ p50: 499, goal: { atLeast: 500 } }, false],
  [{ p50: 2, goal: { atMost: 3 }, baseline: { what: 'exec', p50: 18, ratio: 9, ratioGoal: 10 } }, false],
  [{ p50: 2, baseline: { what: 'exec', p50: 40, ratio: 20 } }, undefined],
])('%j meets its goals: %s', (row, verdict) => {
  expect(meetsGoal({ what: 'x', unit: 'ms', samples: 1, ...row })).toBe(verdict)
})
