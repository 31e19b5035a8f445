import { expect, test } from 'vitest'
import { formatP, pairedDifference, signFlipTest } from './paired-difference.ts'

/** Darwin's fifteen pairs of maize plants, crossed minus self-fertilized, in eighths of an inch. */
const maize = [49, -67, 8, 16, 6, 23, 28, 41, 14, 29, 56, 24, 75, 60, -48]

const pairsOf = (differences: readonly number[]) => differences.map((now) => ({ before: 0, now }))

test('the sign-flip test counts what Fisher counted by hand: 863 of 32,768 on each side (1935, § 21)', () => {
  expect(signFlipTest(maize)).toBe((2 * 863) / 32_768)
})

test('the interval is Student’s paired one: R’s t.test for Darwin’s maize', () => {
  const difference = pairedDifference(pairsOf(maize))
  expect(difference).toMatchObject({ tasks: 15, test: 'sign-flip' })
  expect(difference?.mean).toBeCloseTo(20.93333, 5)
  expect(difference?.low).toBeCloseTo(0.0312, 3)
  expect(difference?.high).toBeCloseTo(41.8355, 3)
})

test('for rewards of 0 and 1 it is McNemar’s exact test: only tasks that changed count', () => {
  // Seven worse, one better, ninety the same: 2 · (C(8,0) + C(8,1)) / 2^8.
  const differences = [...Array<number>(7).fill(-1), 1, ...Array<number>(90).fill(0)]
  expect(pairedDifference(pairsOf(differences))?.p).toBeCloseTo(18 / 256, 12)
})

test('with more than twenty changed tasks the t distribution is used, which is near the exact test then', () => {
  const differences = Array.from({ length: 24 }, (_, index) => ((index * 7) % 24) / 24 - 0.4)
  const difference = pairedDifference(pairsOf(differences))
  expect(difference?.test).toBe('paired-t')
  expect(difference?.p).toBeCloseTo(signFlipTest(differences), 2)
  const edge = pairedDifference(pairsOf(differences.map((one) => one - (difference?.low ?? 0))))
  expect(edge?.p).toBeCloseTo(0.05, 8)
})

test('exactly twenty changed tasks are still counted, and so is any number of equal ones', () => {
  expect(pairedDifference(pairsOf(Array.from({ length: 20 }, (_, index) => index + 1)))?.test).toBe('sign-flip')
  expect(pairedDifference(pairsOf(Array<number>(21).fill(1)))).toMatchObject({ test: 'sign-flip', p: 2 / 2 ** 21 })
})

test('a sum that differs in its last bit alone is as far from 0', () => {
  expect(signFlipTest([0.1, 0.2, 0.3])).toBe(2 / 8)
})

test('of nothing there is no difference, one task and equal differences give no interval', () => {
  expect(pairedDifference([])).toBeUndefined()
  expect(pairedDifference([{ before: 0, now: 1 }])).toEqual({ tasks: 1, mean: 1, p: 1, test: 'sign-flip' })
  expect(pairedDifference(pairsOf([1, 1, 1]))).toEqual({ tasks: 3, mean: 1, p: 0.25, test: 'sign-flip' })
  expect(pairedDifference(pairsOf([0, 0]))).toEqual({ tasks: 2, mean: 0, p: 1, test: 'sign-flip' })
})

test('thirds that only differ in their last bit are equal', () => {
  expect(pairedDifference([{ before: 0.1 + 0.2, now: 0.3 }])?.mean).toBe(0)
})

test('no p value is shown as 0', () => {
  expect([0.0312, 0.00004, 0.0001].map((p) => formatP(p, 4))).toEqual(['p = 0.0312', 'p < 0.0001', 'p = 0.0001'])
})
