import type { GradeResult, StepPlan } from '../protocol/activities.ts'
import type { Integrity, Rewards, StepResult } from '../protocol/grade.ts'

/** Strongest first, as in `protocol/grade.ts`, of which the workflow imports no values. */
const strongestFirst: readonly Integrity[] = ['separate', 'non-root', 'clean', 'live']

/** Whether the steps after this one are left out; a missing reward is below every least one. */
export function isBelow({ minReward = {} }: StepPlan, rewards: Rewards): boolean {
  return Object.entries(minReward).some(([name, least]) => (rewards[name] ?? -Infinity) < least)
}

/**
 * What graded steps come to together: the last one's rewards, or the mean of each reward over all of them, where one that
 * a step does not have counts as 0. Integrity is that of the weakest whose rewards count.
 */
export function combinedGrade(steps: readonly StepResult[], strategy: 'mean' | 'final'): GradeResult {
  const graded = steps.filter((step) => step.rewards !== undefined)
  const counted = strategy === 'final' ? graded.slice(-1) : graded
  return { rewards: meanRewards(counted), integrity: weakest(counted.flatMap(({ integrity }) => integrity ?? [])) }
}

function meanRewards(steps: readonly StepResult[]): Rewards {
  const names = [...new Set(steps.flatMap(({ rewards }) => Object.keys(rewards ?? {})))]
  const mean = (name: string) => steps.reduce((sum, { rewards }) => sum + (rewards?.[name] ?? 0), 0) / steps.length
  return Object.fromEntries(names.map((name) => [name, mean(name)]))
}

function weakest(classes: readonly Integrity[]): Integrity {
  return strongestFirst.findLast((integrity) => classes.includes(integrity)) ?? 'live'
}
