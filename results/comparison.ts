import type { Actor } from '../protocol/failure.ts'
import type { ComparedJob, ComparedRollout } from './compared-job.ts'
import { pairedDifference } from './paired-difference.ts'
import type { PairedDifference } from './paired-difference.ts'
import { meanOf } from './statistics.ts'

/**
 * `worse` and `better` tasks are the same in both jobs; of `changed` ones the files differ, `added` and `removed` ones
 * are in one job alone, and of `not-graded` ones a side has failures only. Only those that are the same in both and
 * graded in both have a part in the difference.
 */
export type Change = 'worse' | 'changed' | 'not-graded' | 'removed' | 'added' | 'better' | 'same'

export interface ComparedTask {
  readonly task: string
  /** Where several agents are compared. */
  readonly agent?: string
  readonly change: Change
  /** Mean reward of its graded rollouts in A and in B. */
  readonly before?: number
  readonly now?: number
  /** `now − before`. */
  readonly difference?: number
  readonly gradedBefore: number
  readonly gradedNow: number
  readonly failedBefore: number
  readonly failedNow: number
}

export interface FailureCount {
  readonly code: string
  /** Who must act; `unknown` for exceptions of Harbor. */
  readonly actor: Actor | 'unknown'
  readonly count: number
}

export interface ComparedSide {
  readonly name: string
  readonly finished: boolean
  readonly mean?: number
  readonly graded: number
  /** Rollouts without a reward: no part of any mean. */
  readonly failures: readonly FailureCount[]
}

export interface Comparison {
  readonly type: 'comparison'
  readonly a: ComparedSide
  readonly b: ComparedSide
  /** Absent when no task is the same and graded in both. */
  readonly difference?: PairedDifference
  /** Whether tasks of both sides can be told apart by their checksums: not between Harbor's and ours. */
  readonly checksumsCompared: boolean
  /** Regressions first, the largest first. */
  readonly tasks: readonly ComparedTask[]
}

/** Two jobs task by task, each task by the mean of its graded attempts. */
export function compareJobs(a: ComparedJob, b: ComparedJob): Comparison {
  const checksumsCompared = a.format === b.format
  const tasks = pairTasks(a, b).map((pair) => comparedTask(pair, checksumsCompared))
  const difference = pairedDifference(tasks.flatMap(pairOf))
  return {
    type: 'comparison',
    a: sideOf(a),
    b: sideOf(b),
    ...(difference === undefined ? {} : { difference }),
    checksumsCompared,
    tasks: tasks.toSorted(byImportance),
  }
}

function sideOf({ name, finished, rollouts }: ComparedJob): ComparedSide {
  const rewards = rollouts.flatMap(({ reward }) => reward ?? [])
  const mean = meanOf(rewards)
  const failures = Map.groupBy(
    rollouts.flatMap(({ failure }) => failure ?? []),
    ({ code }) => code,
  )
  const counts = [...failures].map(([code, own]) => ({
    code,
    actor: own[0]?.actor ?? ('unknown' as const),
    count: own.length,
  }))
  return { name, finished, ...(mean === undefined ? {} : { mean }), graded: rewards.length, failures: counts }
}

interface TaskPair {
  readonly task: string
  readonly agent?: string
  readonly before: readonly ComparedRollout[]
  readonly now: readonly ComparedRollout[]
}

/** With one agent on each side their names do not matter: then it is the agents that are compared. */
function pairTasks(a: ComparedJob, b: ComparedJob): TaskPair[] {
  const byAgent = agentsOf(a).size > 1 || agentsOf(b).size > 1
  const keyOf = ({ task, agent }: ComparedRollout) => JSON.stringify(byAgent ? [task, agent] : [task])
  const [before, now] = [Map.groupBy(a.rollouts, keyOf), Map.groupBy(b.rollouts, keyOf)]
  return [...new Set([...before.keys(), ...now.keys()])].map((key) => {
    const rollouts = { before: before.get(key) ?? [], now: now.get(key) ?? [] }
    const { task = '', agent = '' } = rollouts.before[0] ?? rollouts.now[0] ?? {}
    return { task, ...(byAgent ? { agent } : {}), ...rollouts }
  })
}

function agentsOf({ rollouts }: ComparedJob): Set<string> {
  return new Set(rollouts.map(({ agent }) => agent))
}

function comparedTask({ task, agent, before, now }: TaskPair, checksumsCompared: boolean): ComparedTask {
  const [meanBefore, meanNow] = [meanRewardOf(before), meanRewardOf(now)]
  const difference = meanBefore === undefined || meanNow === undefined ? undefined : meanNow - meanBefore
  const isChanged = checksumsCompared && !sameTask(before, now)
  const change = changeOf({ before, now, difference, isChanged })
  return {
    task,
    ...(agent === undefined ? {} : { agent }),
    change,
    ...(meanBefore === undefined ? {} : { before: meanBefore }),
    ...(meanNow === undefined ? {} : { now: meanNow }),
    ...(difference === undefined ? {} : { difference }),
    gradedBefore: countGraded(before),
    gradedNow: countGraded(now),
    failedBefore: before.length - countGraded(before),
    failedNow: now.length - countGraded(now),
  }
}

function changeOf(of: {
  before: readonly ComparedRollout[]
  now: readonly ComparedRollout[]
  difference: number | undefined
  isChanged: boolean
}): Change {
  const { before, now, difference, isChanged } = of
  if (before.length === 0) return 'added'
  if (now.length === 0) return 'removed'
  if (isChanged) return 'changed'
  if (difference === undefined) return 'not-graded'
  if (Math.abs(difference) < 1e-9) return 'same'
  return difference < 0 ? 'worse' : 'better'
}

/** A rollout that never began knows no checksum. */
function sameTask(before: readonly ComparedRollout[], now: readonly ComparedRollout[]): boolean {
  const sums = [before, now].map((rollouts) => new Set(rollouts.flatMap(({ checksum }) => checksum ?? [])))
  const [earlier = new Set(), later = new Set()] = sums
  return earlier.size === 0 || later.size === 0 || earlier.symmetricDifference(later).size === 0
}

function pairOf({ change, before, now }: ComparedTask): { before: number; now: number }[] {
  const counts = change === 'worse' || change === 'better' || change === 'same'
  return counts && before !== undefined && now !== undefined ? [{ before, now }] : []
}

function meanRewardOf(rollouts: readonly ComparedRollout[]): number | undefined {
  return meanOf(rollouts.flatMap(({ reward }) => reward ?? []))
}

function countGraded(rollouts: readonly ComparedRollout[]): number {
  return rollouts.filter(({ reward }) => reward !== undefined).length
}

const order: readonly Change[] = ['worse', 'changed', 'not-graded', 'removed', 'added', 'better', 'same']

function byImportance(a: ComparedTask, b: ComparedTask): number {
  return (
    order.indexOf(a.change) - order.indexOf(b.change) ||
    Math.abs(b.difference ?? 0) - Math.abs(a.difference ?? 0) ||
    a.task.localeCompare(b.task)
  )
}
