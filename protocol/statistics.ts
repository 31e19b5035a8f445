import type { Actor, FailureCode } from './failure.ts'
import type { Integrity } from './grade.ts'

/** What a job's numbers come to; every definition, with formula and source, is in docs/results.md. */

/** A 95 % confidence interval. */
export interface Interval {
  readonly low: number
  readonly high: number
}

/** One k of pass@k or pass^k. */
export interface PassRate {
  readonly k: number
  /** Mean over `tasks`. */
  readonly value: number
  /** How many (task, agent) pairs have at least k graded attempts; the others have no part in `value`. */
  readonly tasks: number
}

/** Milliseconds of each phase, summed over the rollouts that entered it; `total` is from their start to their end. */
export interface PhaseMs {
  readonly open?: number
  readonly turns?: number
  readonly grade?: number
  readonly total?: number
}

/** Sums of what agents reported; what none reported is absent. */
export interface UsageTotals {
  readonly inputTokens?: number
  readonly outputTokens?: number
  readonly cachedInputTokens?: number
  readonly unrecordedCalls?: number
  readonly costUsd?: number
  /** How many rollouts reported any usage. */
  readonly rollouts: number
}

/** The numbers of any set of rollouts. */
export interface GroupStatistics {
  readonly rollouts: number
  readonly graded: number
  readonly failed: number
  readonly cancelled: number
  /** Different tasks with at least one graded rollout: the clusters of `interval`. */
  readonly tasks: number
  /** Of graded rollouts; the mean of nothing is absent. */
  readonly mean?: number
  readonly median?: number
  /** Clustered by task. */
  readonly standardError?: number
  /** Of the mean. Absent with fewer than two tasks, and where nothing varies. */
  readonly interval?: Interval
  /** Graded rollouts whose reward is at least `passReward`. */
  readonly passed: number
  readonly passAtK: readonly PassRate[]
  readonly passHatK: readonly PassRate[]
  /** Graded rollouts by integrity class. */
  readonly integrity: Readonly<Partial<Record<Integrity, number>>>
  readonly timeMs: PhaseMs
  readonly usage?: UsageTotals
}

/** Rollouts that failed for one reason. */
export interface FailureGroup {
  readonly code: FailureCode
  /** Who must act. */
  readonly actor: Actor
  readonly count: number
  /** `<task>.<agent>.<attempt>` */
  readonly rollouts: readonly string[]
}

/** All numbers of a job. */
export interface JobStatistics {
  /** The reward from which a rollout counts as passed. */
  readonly passReward: number
  readonly total: GroupStatistics
  /** One for each task and agent, in the job's order. */
  readonly byTask: readonly (GroupStatistics & { readonly task: string; readonly agent: string })[]
  readonly byAgent: readonly (GroupStatistics & { readonly agent: string })[]
  /** One for each tag and agent, by name; a task counts under each of its tags. */
  readonly byTag: readonly (GroupStatistics & { readonly tag: string; readonly agent: string })[]
  readonly failures: readonly FailureGroup[]
}
