import type { PassRate } from '../protocol/statistics.ts'
import { meanOf } from './statistics.ts'

/** How often a task was graded and how often it passed. */
export interface Tally {
  readonly graded: number
  readonly passed: number
}

/**
 * Chance that of k attempts drawn from those graded at least one passed: `1 − C(n−c, k) / C(n, k)`, without the
 * factorials. Undefined where fewer than k were graded.
 */
export function passAtK({ graded, passed }: Tally, k: number): number | undefined {
  if (graded < k) return undefined
  let allFail = 1
  for (let at = graded - passed + 1; at <= graded; at += 1) allFail *= 1 - k / at
  return 1 - allFail
}

/** Chance that all k passed: `C(c, k) / C(n, k)`. Undefined where fewer than k were graded. */
export function passHatK({ graded, passed }: Tally, k: number): number | undefined {
  if (graded < k) return undefined
  let allPass = 1
  for (let drawn = 0; drawn < k; drawn += 1) allPass *= Math.max(0, passed - drawn) / (graded - drawn)
  return allPass
}

/** For every k up to the largest number of graded attempts: the mean over the tasks with at least k of them. */
export function passRates(tallies: readonly Tally[], rate: typeof passAtK): PassRate[] {
  const most = tallies.reduce((max, { graded }) => Math.max(max, graded), 0)
  return Array.from({ length: most }, (_, index) => index + 1).flatMap((k) => {
    const values = tallies.map((tally) => rate(tally, k)).filter((value) => value !== undefined)
    const value = meanOf(values)
    return value === undefined ? [] : [{ k, value, tasks: values.length }]
  })
}
