import jstat from 'jstat'
import type { Interval } from '../protocol/statistics.ts'

/** Definitions with their sources: docs/results.md. */

export interface MeanEstimate {
  readonly mean: number
  readonly standardError?: number
  /** 95 %. Absent with fewer than two clusters, and where the standard error is 0: no variation seen is no certainty. */
  readonly interval?: Interval
}

/**
 * The mean of all values, with a cluster-robust interval: values of one cluster (attempts at one task) may depend on
 * each other, clusters may not. With one value in each it is the ordinary t interval.
 * @returns undefined for no values
 */
export function clusteredMean(clusters: readonly (readonly number[])[]): MeanEstimate | undefined {
  const filled = clusters.filter((cluster) => cluster.length > 0)
  const values = filled.flat()
  const mean = meanOf(values)
  if (mean === undefined) return undefined
  const count = filled.length
  if (count < 2) return { mean }
  const squares = filled.map((cluster) => sumOf(cluster.map((value) => value - mean)) ** 2)
  const standardError = Math.sqrt((count / (count - 1)) * sumOf(squares)) / values.length
  return { mean, standardError, ...intervalOf({ mean, standardError, freedom: count - 1 }) }
}

/** `mean ± t · standardError`, or nothing where the standard error is 0 up to rounding. */
export function intervalOf(at: { mean: number; standardError: number; freedom: number }): { interval?: Interval } {
  const { mean, standardError, freedom } = at
  if (standardError <= Number.EPSILON * Math.max(1, Math.abs(mean))) return {}
  const margin = tQuantile(0.975, freedom) * standardError
  return { interval: { low: mean - margin, high: mean + margin } }
}

/** Quantile of Student's t. */
export function tQuantile(probability: number, freedom: number): number {
  return jstat.studentt.inv(probability, freedom)
}

/** Probability that |t| is at least as large. */
export function tTwoSided(t: number, freedom: number): number {
  return 2 * jstat.studentt.cdf(-Math.abs(t), freedom)
}

/** The middle value, or the mean of the two in the middle; undefined for none. */
export function medianOf(values: readonly number[]): number | undefined {
  const sorted = values.toSorted((a, b) => a - b)
  const half = sorted.length / 2
  return meanOf(sorted.slice(Math.ceil(half) - 1, Math.floor(half) + 1))
}

/** Arithmetic mean; the mean of nothing is undefined. */
export function meanOf(values: readonly number[]): number | undefined {
  return values.length === 0 ? undefined : sumOf(values) / values.length
}

export function sumOf(values: readonly number[]): number {
  return values.reduce((sum, value) => sum + value, 0)
}
