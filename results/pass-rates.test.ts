import { expect, test } from 'vitest'
import { passAtK, passHatK, passRates } from './pass-rates.ts'

/** n! / (k! (n − k)!), the long way. */
function choose(n: number, k: number): number {
  return k === 0 ? 1 : n < k ? 0 : (choose(n - 1, k - 1) * n) / k
}

test('pass@k and pass^k are the ratios of binomials that the papers print', () => {
  for (let graded = 1; graded <= 8; graded += 1) {
    for (let passed = 0; passed <= graded; passed += 1) {
      for (let k = 1; k <= graded; k += 1) {
        const all = choose(graded, k)
        expect(passAtK({ graded, passed }, k)).toBeCloseTo(1 - choose(graded - passed, k) / all, 12)
        expect(passHatK({ graded, passed }, k)).toBeCloseTo(choose(passed, k) / all, 12)
      }
    }
  }
})

test('two of five attempts passed: pass@2 is 7/10 and pass^2 is 1/10', () => {
  expect(passAtK({ graded: 5, passed: 2 }, 2)).toBeCloseTo(0.7, 12)
  expect(passHatK({ graded: 5, passed: 2 }, 2)).toBeCloseTo(0.1, 12)
})

test('where fewer than k passed, all k can never have', () => {
  expect(passHatK({ graded: 3, passed: 1 }, 3)).toBe(0)
  expect(passAtK({ graded: 3, passed: 1 }, 3)).toBe(1)
})

test('fewer graded attempts than k give no value, and the task has no part in the mean', () => {
  expect(passAtK({ graded: 1, passed: 1 }, 2)).toBeUndefined()
  const tallies = [
    { graded: 2, passed: 1 },
    { graded: 1, passed: 0 },
    { graded: 0, passed: 0 },
  ]
  expect(passRates(tallies, passAtK)).toEqual([
    { k: 1, value: 0.25, tasks: 2 },
    { k: 2, value: 1, tasks: 1 },
  ])
  expect(passRates(tallies, passHatK)).toEqual([
    { k: 1, value: 0.25, tasks: 2 },
    { k: 2, value: 0, tasks: 1 },
  ])
  expect(passRates([], passAtK)).toEqual([])
})
