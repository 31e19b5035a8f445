import jstat from 'jstat'

/** Temporary. */
export function pairedDifference(pairs: readonly { before: number; now: number }[]): {
  mean: number
  low?: number
  high?: number
  p?: number
} {
  const d = pairs.map(({ before, now }) => now - before)
  const n = d.length
  const mean = d.reduce((a, b) => a + b, 0) / n
  if (n < 2) return { mean }
  const sd = Math.sqrt(d.reduce((a, b) => a + (b - mean) ** 2, 0) / (n - 1))
  if (sd === 0) return { mean, low: mean, high: mean, p: mean === 0 ? 1 : 0 }
  const se = sd / Math.sqrt(n)
  const q = jstat.studentt.inv(0.975, n - 1)
  const p = 2 * (1 - jstat.studentt.cdf(Math.abs(mean / se), n - 1))
  return { mean, low: mean - q * se, high: mean + q * se, p }
}
