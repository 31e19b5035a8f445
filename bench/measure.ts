import type { Bench } from './bench.ts'

export type Goal = { readonly atMost: number } | { readonly atLeast: number }

/** One line of the table. */
export interface Row {
  readonly what: string
  readonly unit: 'ms' | 's' | '1/s' | 'MiB' | 'events' | 'ms CPU' | '%'
  /** What a quiet moment gave, where other work shares the machine. */
  readonly min?: number
  /** Median. */
  readonly p50: number
  readonly p95?: number
  /** How many values the median is of. */
  readonly samples: number
  /** What the median should be. Rows without a goal are there to explain others. */
  readonly goal?: Goal
  /** The same work done in another way, measured in the same run in turns with ours. */
  readonly baseline?: {
    readonly what: string
    readonly p50: number
    /** How many times better ours is. */
    readonly ratio: number
    readonly ratioGoal?: number
  }
  /** What other harnesses needed for the like on such a machine (docs/performance.md). */
  readonly peers?: string
}

export interface Measure {
  /** What `--only` takes. */
  readonly name: string
  readonly describes: string
  run(bench: Bench): Promise<Row[]>
}

/** Whether a row meets its goals; undefined where it has none. */
export function meetsGoal({ p50, goal, baseline }: Row): boolean | undefined {
  const verdicts = [
    ...(goal === undefined ? [] : ['atMost' in goal ? p50 <= goal.atMost : p50 >= goal.atLeast]),
    ...(baseline?.ratioGoal === undefined ? [] : [baseline.ratio >= baseline.ratioGoal]),
  ]
  return verdicts.length === 0 ? undefined : verdicts.every(Boolean)
}
