import { expect, test } from 'vitest'
import { formatReward, mainReward, summarizeResults } from './summary.ts'
import { rolloutResult } from './fixtures/rollout-result.ts'

test('the main reward is the one named reward, else the only one, else the mean of all', () => {
  expect(mainReward({ reward: 0.25, style: 1 })).toBe(0.25)
  expect(mainReward({ accuracy: 0.75 })).toBe(0.75)
  expect(mainReward({ accuracy: 1, style: 0.5 })).toBe(0.75)
  expect(mainReward({})).toBeUndefined()
})

test('a reward of 0 counts and a failed rollout does not', () => {
  const summary = summarizeResults({
    job: 'j',
    results: [
      rolloutResult({ task: 'a', rewards: { reward: 1 } }),
      rolloutResult({ task: 'b', rewards: { reward: 0 } }),
      rolloutResult({ task: 'c', failure: { code: 'sandbox-lost', message: 'gone' } }),
    ],
  })
  expect(summary).toMatchObject({ mean: 0.5, graded: 2, failed: 1, cancelled: 0 })
})

test('the mean of nothing is absent, not 0 or null', () => {
  const summary = summarizeResults({
    job: 'j',
    results: [rolloutResult({ task: 'c', failure: { code: 'sandbox-lost', message: 'gone' } })],
  })
  expect('mean' in summary).toBe(false)
  expect(formatReward(summary.mean)).toBe('–')
})

test('the summary keeps the fields that scripts depend on, in the order of the plan; statistics come after them', () => {
  const planned = ['b', 'a', 'c'].map((task) => ({ name: `${task}.oracle.1`, task, agent: 'oracle', attempt: 1 }))
  const results = [
    rolloutResult({ task: 'a', rewards: { reward: 1 } }),
    rolloutResult({ task: 'b', failure: { code: 'grader-failed', message: 'broke' } }),
  ]
  const { statistics, ...summary } = summarizeResults({ job: 'j', results, planned })
  const more = { taskChecksum: 'c0ffee', turns: 1, timeMs: { open: 1000, total: 4000 }, usage: { inputTokens: 10 } }
  expect(summary).toEqual({
    type: 'summary',
    job: 'j',
    mean: 1,
    graded: 1,
    failed: 1,
    cancelled: 1,
    rollouts: [
      {
        id: 'j.b.oracle.1',
        task: 'b',
        agent: 'oracle',
        attempt: 1,
        state: 'failed',
        failure: { code: 'grader-failed', message: 'broke' },
        ...more,
      },
      {
        id: 'j.a.oracle.1',
        task: 'a',
        agent: 'oracle',
        attempt: 1,
        state: 'graded',
        rewards: { reward: 1 },
        integrity: 'clean',
        agentEnd: 'done',
        ...more,
      },
      {
        id: 'j.c.oracle.1',
        task: 'c',
        agent: 'oracle',
        attempt: 1,
        state: 'cancelled',
        failure: { code: 'cancelled', message: 'The job was cancelled before this rollout started.' },
      },
    ],
  })
  expect(statistics?.failures).toEqual([{ code: 'grader-failed', actor: 'grader', count: 1, rollouts: ['b.oracle.1'] }])
})
