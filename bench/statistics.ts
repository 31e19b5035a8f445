/** The value below which a share of all values lies, 0 to 1, between neighbours interpolated. @throws for no values */
export function quantile(values: readonly number[], share: number): number {
  const sorted = values.toSorted((a, b) => a - b)
  const at = (sorted.length - 1) * share
  const [below, above] = [sorted[Math.floor(at)], sorted[Math.ceil(at)]]
  if (below === undefined || above === undefined) throw new RangeError('Nothing was measured')
  return below + (above - below) * (at - Math.floor(at))
}

/** The part of a row that says what was measured. */
export function spread(values: readonly number[]): { min: number; p50: number; p95: number; samples: number } {
  return { min: quantile(values, 0), p50: quantile(values, 0.5), p95: quantile(values, 0.95), samples: values.length }
}

/** How long some work took, in milliseconds. */
export async function timed(work: () => Promise<unknown>): Promise<number> {
  const startedAt = performance.now()
  await work()
  return performance.now() - startedAt
}
