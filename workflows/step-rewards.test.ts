import { describe, expect, test } from 'vitest'
import type { Integrity, Rewards, StepResult } from '../protocol/grade.ts'
import { combinedGrade, isBelow } from './step-rewards.ts'

function step(rewards: Rewards | undefined, integrity: Integrity = 'clean'): StepResult {
  const graded = rewards === undefined ? {} : { rewards, integrity }
  return { name: 's', gradingAttempts: 1, phases: {}, firstPhase: 1, lastPhase: 2, ...graded }
}

describe('min_reward', () => {
  const plan = (minReward?: Rewards) => ({
    name: 's',
    agentTimeoutMs: 1,
    verifierTimeoutMs: 1,
    ...(minReward ? { minReward } : {}),
  })

  test.each<[Rewards | undefined, Rewards, boolean]>([
    [undefined, { reward: 0 }, false],
    [{ reward: 0.5 }, { reward: 0.5 }, false],
    [{ reward: 0.5 }, { reward: 0.49 }, true],
    [{ reward: 0, style: 1 }, { reward: 1, style: 0.9 }, true],
    [{ style: -1000 }, { reward: 1 }, true],
    [{ reward: -1 }, { reward: -0.5, other: -9 }, false],
  ])('least %j and rewards %j: the rest is left out: %j', (least, rewards, expected) => {
    expect(isBelow(plan(least), rewards)).toBe(expected)
  })
})

describe('what steps come to together', () => {
  test('mean: of each reward over the graded steps, where one that is missing counts 0', () => {
    const steps = [step({ reward: 1, style: 1 }), step({ reward: 0 }), step(undefined)]
    expect(combinedGrade(steps, 'mean').rewards).toEqual({ reward: 0.5, style: 0.5 })
  })

  test('final: the last graded step’s, as they are', () => {
    expect(combinedGrade([step({ reward: 1 }), step({ other: 0.25 })], 'final').rewards).toEqual({ other: 0.25 })
  })

  test('of no graded step there are no rewards, and nothing is claimed', () => {
    expect(combinedGrade([step(undefined)], 'mean')).toEqual({ rewards: {}, integrity: 'live' })
  })

  test('integrity is the weakest of the steps whose rewards count', () => {
    const steps = [step({ reward: 1 }, 'live'), step({ reward: 1 }, 'separate'), step({ reward: 1 }, 'non-root')]
    expect(combinedGrade(steps, 'mean').integrity).toBe('live')
    expect(combinedGrade(steps, 'final').integrity).toBe('non-root')
  })
})
