import { expect, test } from 'vitest'
import { rolloutResult } from './fixtures/rollout-result.ts'
import { jobStatistics } from './job-statistics.ts'
import { summarizeResults } from './summary.ts'

const lost = { code: 'sandbox-lost', message: 'gone' } as const

/** Two tasks, two agents, two attempts each; one rollout of `b` by `nop` failed. */
const results = [
  rolloutResult({ task: 'a', agent: 'oracle', attempt: 1, rewards: { reward: 1 } }),
  rolloutResult({ task: 'a', agent: 'oracle', attempt: 2, rewards: { reward: 1 } }),
  rolloutResult({ task: 'b', agent: 'oracle', attempt: 1, rewards: { reward: 1 } }),
  rolloutResult({ task: 'b', agent: 'oracle', attempt: 2, rewards: { reward: 0.5 } }),
  rolloutResult({ task: 'a', agent: 'nop', attempt: 1, rewards: { reward: 0 } }),
  rolloutResult({ task: 'a', agent: 'nop', attempt: 2, rewards: { reward: 0 } }),
  rolloutResult({ task: 'b', agent: 'nop', attempt: 1, rewards: { reward: 0.5 } }),
  rolloutResult({ task: 'b', agent: 'nop', attempt: 2, failure: lost }),
]
const tags = { a: ['easy', 'shell'], b: ['shell'] }
const { rollouts } = summarizeResults({ job: 'j', results })

test('agents stand side by side, each with its own mean, median and pass rates', () => {
  const [oracle, nop] = jobStatistics(rollouts).byAgent
  expect(oracle).toMatchObject({ agent: 'oracle', mean: 0.875, median: 1, passed: 3, graded: 4, tasks: 2 })
  expect(oracle?.passAtK).toEqual([
    { k: 1, value: 0.75, tasks: 2 },
    { k: 2, value: 1, tasks: 2 },
  ])
  expect(oracle?.passHatK).toEqual([
    { k: 1, value: 0.75, tasks: 2 },
    { k: 2, value: 0.5, tasks: 2 },
  ])
  expect(nop).toMatchObject({ agent: 'nop', mean: 0.5 / 3, graded: 3, failed: 1, passed: 0 })
  expect(nop?.passAtK.at(-1)).toEqual({ k: 2, value: 0, tasks: 1 })
})

test('a task counts under each of its tags, agent by agent', () => {
  const { byTag } = jobStatistics(rollouts, { tags })
  expect(byTag.map(({ tag, agent, mean }) => [tag, agent, mean])).toEqual([
    ['easy', 'oracle', 1],
    ['easy', 'nop', 0],
    ['shell', 'oracle', 0.875],
    ['shell', 'nop', 0.5 / 3],
  ])
})

test('an agent that has none of a tag’s tasks has no row for it', () => {
  const some = rollouts.filter(({ task, agent }) => task === 'b' || agent === 'oracle')
  expect(jobStatistics(some, { tags }).byTag.map(({ tag, agent }) => `${tag} ${agent}`)).toEqual([
    'easy oracle',
    'shell oracle',
    'shell nop',
  ])
})

test('grades are counted by how hard they were to forge', () => {
  expect(jobStatistics(rollouts).total.integrity).toEqual({ clean: 7 })
})

test('what counts as passed can be set', () => {
  expect(jobStatistics(rollouts, { passReward: 0.5 }).total.passed).toBe(5)
})

test('time and tokens are sums over the rollouts that have them', () => {
  const { total } = jobStatistics(rollouts)
  expect(total.timeMs).toEqual({ open: 8000, total: 32_000 })
  expect(total.usage).toEqual({ inputTokens: 80, rollouts: 8 })
})

test('failed rollouts are counted apart, by code, with who must act', () => {
  expect(jobStatistics(rollouts).failures).toEqual([
    { code: 'sandbox-lost', actor: 'sandbox', count: 1, rollouts: ['b.nop.2'] },
  ])
})

test('the most frequent failure comes first', () => {
  const away = { code: 'provider-unavailable', message: 'away' } as const
  const failed = [away, lost, lost].map((failure, at) => rolloutResult({ task: `t${at}`, failure }))
  const groups = jobStatistics(summarizeResults({ job: 'j', results: failed }).rollouts).failures
  expect(groups.map(({ code, count }) => [code, count])).toEqual([
    ['sandbox-lost', 2],
    ['provider-unavailable', 1],
  ])
})

test('of several agents at one task the attempts are one cluster', () => {
  expect(jobStatistics(rollouts).total.tasks).toBe(2)
  expect(jobStatistics(rollouts).byTask.map(({ task, agent }) => `${task} ${agent}`)).toEqual([
    'a oracle',
    'b oracle',
    'a nop',
    'b nop',
  ])
})
