import type { Interval } from '../protocol/statistics.ts'
import { intervalOf, meanOf, sumOf, tTwoSided } from './statistics.ts'

/** The mean reward of one task in both jobs. */
export interface Pair {
  readonly before: number
  readonly now: number
}

/** How much better the second of two jobs did, over the tasks that both have graded. */
export interface PairedDifference {
  /** How many tasks were compared. */
  readonly tasks: number
  /** Mean of `now − before`. */
  readonly mean: number
  /** 95 %, paired t. Absent with one task, and where all tasks differ by the same. */
  readonly low?: number
  readonly high?: number
  /** Two-sided: how probable a mean difference at least this large is when nothing has changed. */
  readonly p: number
  readonly test: 'sign-flip' | 'paired-t'
}

/** 2^20 sums of signs are counted in some milliseconds; from there on the t distribution is near enough. */
const mostFlipped = 20

/** @returns undefined for no pairs */
export function pairedDifference(pairs: readonly Pair[]): PairedDifference | undefined {
  const differences = pairs.map(differenceOf)
  const mean = meanOf(differences)
  if (mean === undefined) return undefined
  const standardError = standardErrorOf(differences, mean)
  const { interval } = standardError === undefined ? {} : intervalAround(differences, { mean, standardError })
  return {
    tasks: differences.length,
    mean,
    ...interval,
    ...significance(differences, mean, standardError),
  }
}

function intervalAround(
  differences: readonly number[],
  at: { mean: number; standardError: number },
): {
  interval?: Interval
} {
  return intervalOf({ ...at, freedom: differences.length - 1 })
}

function significance(
  differences: readonly number[],
  mean: number,
  standardError: number | undefined,
): Pick<PairedDifference, 'p' | 'test'> {
  const changed = differences.filter((difference) => difference !== 0)
  if (changed.length <= mostFlipped || !standardError) return { p: signFlipTest(changed), test: 'sign-flip' }
  return { p: tTwoSided(mean / standardError, differences.length - 1), test: 'paired-t' }
}

/**
 * Exact paired permutation test: of all ways to swap the two jobs' means task by task, the share whose sum is at least
 * as far from 0. Tasks without a difference stay the same however they are swapped, so they need not be counted.
 */
export function signFlipTest(differences: readonly number[]): number {
  const observed = Math.abs(sumOf(differences))
  const tolerance = 1e-9 * (1 + sumOf(differences.map(Math.abs)))
  // Sums that are equal are kept together with how often they occur: with binary rewards there are few.
  let sums = new Map([[0, 1]])
  for (const difference of differences) sums = flipped(sums, difference)
  const extreme = [...sums].filter(([sum]) => Math.abs(sum) >= observed - tolerance)
  return sumOf(extreme.map(([, count]) => count)) / 2 ** differences.length
}

function flipped(sums: ReadonlyMap<number, number>, difference: number): Map<number, number> {
  const next = new Map<number, number>()
  for (const [sum, count] of sums) {
    for (const added of [sum + difference, sum - difference]) {
      const key = withoutNoise(added)
      next.set(key, (next.get(key) ?? 0) + count)
    }
  }
  return next
}

function standardErrorOf(differences: readonly number[], mean: number): number | undefined {
  const count = differences.length
  if (count < 2) return undefined
  const variance = sumOf(differences.map((difference) => (difference - mean) ** 2)) / (count - 1)
  return Math.sqrt(variance / count)
}

/** Means of attempts that are equal must not differ in their last bit: 0.1 + 0.2 is 0.3. */
function differenceOf({ before, now }: Pair): number {
  const difference = now - before
  return Math.abs(difference) <= 1e-12 * Math.max(Math.abs(before), Math.abs(now)) ? 0 : difference
}

/** `p = 0.031`, or `p < 0.001` for what would round to an impossible 0. */
export function formatP(p: number, digits: number): string {
  const least = 10 ** -digits
  return p < least ? `p < ${least.toFixed(digits)}` : `p = ${p.toFixed(digits)}`
}

/** Twelve digits: sums that are equal but for rounding become one. */
function withoutNoise(value: number): number {
  return Number(value.toPrecision(12))
}
