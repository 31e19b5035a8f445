/** How much of a job is in its report, so that the file of any job opens; what is left out is said where it would be. */
export interface ReportBounds {
  /** Characters of one output: half from its beginning, half from its end. */
  readonly output: number
  /** Characters of one command or argument. */
  readonly command: number
  /** Characters of markup for the trace of one rollout, at most. */
  readonly trace: number
  /** … and at least, as long as there is room. */
  readonly leastTrace: number
  /** Characters of markup for all traces. */
  readonly traces: number
  /** Rollouts in the list. */
  readonly rollouts: number
  /** Rows of a table of the overview, and bars of a plot. */
  readonly rows: number
}

export const defaultBounds: ReportBounds = {
  output: 8_000,
  command: 2_000,
  trace: 400_000,
  leastTrace: 20_000,
  traces: 24_000_000,
  rollouts: 5_000,
  rows: 300,
}

/** A long text as its two ends; `left` is how many units in between are missing. */
export interface Ends {
  readonly head: string
  readonly tail: string
  readonly left: number
  readonly unit: 'characters' | 'bytes' | 'bytes or more'
}

export function endsOf(text: string, most: number): Ends {
  if (text.length <= most) return { head: text, tail: '', left: 0, unit: 'characters' }
  const half = Math.floor(most / 2)
  return { head: text.slice(0, half), tail: text.slice(-half), left: text.length - 2 * half, unit: 'characters' }
}

/** `1.2 MB`: decimal, as disks are sold. */
export function formatBytes(bytes: number): string {
  if (bytes < 1000) return `${bytes} B`
  const units = ['kB', 'MB', 'GB', 'TB']
  const power = Math.min(units.length, Math.floor(Math.log10(bytes) / 3))
  return `${(bytes / 1000 ** power).toFixed(1)} ${units[power - 1] ?? ''}`
}

/** `12,345` */
export function formatCount(count: number): string {
  return count.toLocaleString('en-US')
}
