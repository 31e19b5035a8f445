import { expect, test } from 'vitest'
import { clusteredMean, medianOf, tQuantile, tTwoSided } from './statistics.ts'

/** Student, "The probable error of a mean", 1908: hours of sleep gained by ten patients. */
const sleep = [1.2, 2.4, 1.3, 1.3, 0, 1, 1.8, 0.8, 4.6, 1.4]

test('quantiles of Student’s t are those of the printed tables', () => {
  expect(tQuantile(0.975, 1)).toBeCloseTo(12.7062, 3)
  expect(tQuantile(0.975, 9)).toBeCloseTo(2.2622, 4)
  expect(tQuantile(0.975, 30)).toBeCloseTo(2.0423, 4)
  expect(tTwoSided(-4.0621, 9)).toBeCloseTo(0.002833, 6)
})

test('with one value per cluster the interval is the ordinary one: Student’s sleep data as R’s t.test gives it', () => {
  const estimate = clusteredMean(sleep.map((value) => [value]))
  expect(estimate?.mean).toBeCloseTo(1.58, 10)
  expect(estimate?.interval?.low).toBeCloseTo(0.7001142, 6)
  expect(estimate?.interval?.high).toBeCloseTo(2.4598858, 6)
})

test('attempts at one task count as one cluster: by hand, √(3/2 · (1² + 1² + 0²)) / 6 with two degrees of freedom', () => {
  const estimate = clusteredMean([
    [1, 1],
    [0, 0],
    [1, 0],
  ])
  expect(estimate?.mean).toBe(0.5)
  expect(estimate?.standardError).toBeCloseTo(Math.sqrt(3) / 6, 12)
  expect(estimate?.interval?.high).toBeCloseTo(0.5 + (4.302653 * Math.sqrt(3)) / 6, 5)
})

test('the same attempts say more when tasks do not agree with themselves', () => {
  const agreeing = clusteredMean([
    [1, 1],
    [0, 0],
    [1, 1],
    [0, 0],
  ])
  const mixed = clusteredMean([
    [1, 0],
    [0, 1],
    [1, 1],
    [0, 0],
  ])
  expect(agreeing?.standardError).toBeGreaterThan(mixed?.standardError ?? Infinity)
})

test('of nothing there is no mean, of one task and of equal rewards no interval', () => {
  expect(clusteredMean([])).toBeUndefined()
  expect(clusteredMean([[], []])).toBeUndefined()
  expect(clusteredMean([[1, 0, 1]])).toEqual({ mean: 2 / 3 })
  expect(clusteredMean([[1], [1], [1]])).toEqual({ mean: 1, standardError: 0 })
  expect(clusteredMean([[0.1], [0.1], [0.1]])?.interval).toBeUndefined()
})

test('a task of which nothing was graded is no cluster', () => {
  expect(clusteredMean([[1], [], [0]])).toEqual(clusteredMean([[1], [0]]))
})

test('the median is the middle one or the mean of the two in the middle', () => {
  expect(medianOf([3, 1, 2])).toBe(2)
  expect(medianOf([4, 1, 3, 2])).toBe(2.5)
  expect(medianOf([])).toBeUndefined()
})
