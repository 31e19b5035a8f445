import { expect, test } from 'vitest'
import { rolloutResult } from '../results/fixtures/rollout-result.ts'
import { summarizeResults } from '../results/summary.ts'
import { formatSoundness, judgeSoundness } from './soundness.ts'

function judge(...results: Parameters<typeof rolloutResult>[0][]) {
  return judgeSoundness(summarizeResults({ job: 'j', results: results.map(rolloutResult) }))
}

test('a task is sound when oracle gets 1 and nop gets 0', () => {
  const tasks = judge(
    { task: 'a', agent: 'oracle', rewards: { reward: 1 } },
    { task: 'a', agent: 'nop', rewards: { reward: 0 } },
  )
  expect(tasks).toEqual([{ task: 'a', problems: [] }])
  expect(formatSoundness(tasks)).toBe('  a: sound\n1 of 1 task is sound: oracle gets 1 and nop gets 0.')
})

test('wrong rewards and failures are named, task by task', () => {
  const tasks = judge(
    { task: 'a', agent: 'oracle', rewards: { reward: 0.5 } },
    { task: 'a', agent: 'nop', rewards: { reward: 1 } },
    { task: 'b', agent: 'oracle', failure: { code: 'reward-missing', message: 'none' } },
    { task: 'b', agent: 'nop', rewards: { reward: 0 } },
  )
  expect(tasks).toEqual([
    { task: 'a', problems: ['oracle gets 0.500 instead of 1', 'nop gets 1.000 instead of 0'] },
    { task: 'b', problems: ['oracle failed with reward-missing: none'] },
  ])
  expect(formatSoundness(tasks)).toContain('0 of 2 tasks are sound')
})

test('a rollout that is not there is no 0', () => {
  expect(judge({ task: 'a', agent: 'oracle', rewards: { reward: 1 } })).toEqual([
    { task: 'a', problems: ['nop gets – instead of 0'] },
  ])
})
