import { expect, test } from 'vitest'
import type { RolloutResult } from '../protocol/grade.ts'
import { jobOptions } from '../protocol/job-options-fixture.ts'
import { rolloutResult } from './fixtures/rollout-result.ts'
import { describeVerdict, judge } from './verdict.ts'

const agentOf = (kind: 'model' | 'oracle') => jobOptions({ agents: [{ kind, label: kind, args: {} }] })
const config = { maxFailedShare: 0.1, options: agentOf('model') }
const lost = { failure: { code: 'sandbox-lost', message: 'gone' } } as const

/** A job with one attempt at each task: its reward, or undefined for a failed one. */
function job(name: string, rewards: readonly (number | undefined)[], more: Partial<RolloutResult> = {}) {
  const results = rewards.map((reward, index) =>
    rolloutResult({ task: `t${index}`, ...(reward === undefined ? lost : { rewards: { reward } }), ...more }),
  )
  return { job: name, results }
}

const ones = (count: number) => Array<number>(count).fill(1)
const zeros = (count: number) => Array<number>(count).fill(0)

test('the first job has nothing to be compared with, and is what the next one is compared with', () => {
  expect(judge({ config, now: job('a', ones(3)) })).toMatchObject({
    verdict: 'not-comparable',
    reason: 'There is no earlier job to compare with.',
    isBaseline: true,
    mean: 1,
    graded: 3,
  })
})

test.each([
  { before: zeros(6), now: ones(6), verdict: 'better', isBaseline: true },
  { before: ones(6), now: zeros(6), verdict: 'worse', isBaseline: false },
  { before: ones(6), now: ones(6), verdict: 'same', isBaseline: true },
  // Two tasks of six: as likely by chance as not.
  { before: ones(6), now: [0, 0, ...ones(4)], verdict: 'same', isBaseline: true },
])('$before and then $now is $verdict', ({ before, now, ...expected }) => {
  expect(judge({ config, now: job('b', now), baseline: job('a', before) })).toMatchObject({
    ...expected,
    baseline: 'a',
  })
})

test('one task of six is no chance where the agent decides nothing by chance', () => {
  const steady = { ...config, options: agentOf('oracle') }
  const judged = judge({ config: steady, now: job('b', [0, ...ones(5)]), baseline: job('a', ones(6)) })
  expect(judged).toMatchObject({ verdict: 'worse', tasks: [{ task: 't0', change: 'worse' }] })
  expect(judge({ config: steady, now: job('b', [1, 0]), baseline: job('a', [0, 1]) }).verdict).toBe('same')
})

test('tasks that did otherwise are named, the worse ones first, also where it may be chance', () => {
  const { tasks } = judge({ config, now: job('b', [1, 0, 1]), baseline: job('a', [0, 1, 1]) })
  expect(tasks).toEqual([
    { task: 't1', change: 'worse', before: 1, now: 0 },
    { task: 't0', change: 'better', before: 0, now: 1 },
  ])
})

test('a changed, an added and a removed task are no regression', () => {
  const baseline = job('a', ones(3))
  const kept = job('b', [0, 1]).results.map((one, at) => (at === 0 ? { ...one, taskChecksum: 'other' } : one))
  const added = rolloutResult({ task: 'new', rewards: { reward: 0 } })
  expect(judge({ config, now: { job: 'b', results: [...kept, added] }, baseline })).toMatchObject({
    verdict: 'same',
    difference: { mean: 0 },
    tasks: [
      { task: 't0', change: 'changed' },
      { task: 'new', change: 'added' },
      { task: 't2', change: 'removed' },
    ],
  })
})

test('failures never make a job worse: too many make it not comparable, and no baseline', () => {
  const baseline = job('a', ones(10))
  expect(judge({ config, now: job('b', [undefined, ...ones(9)]), baseline })).toMatchObject({
    verdict: 'same',
    failed: 1,
  })
  expect(judge({ config, now: job('b', [undefined, undefined, ...zeros(8)]), baseline })).toMatchObject({
    verdict: 'not-comparable',
    reason: '2 of 10 rollouts were not graded, and at most 10 % may be missing.',
    isBaseline: false,
  })
  expect(
    judge({ config, now: job('b', ones(10)), baseline: job('a', [undefined, undefined, ...ones(8)]) }),
  ).toMatchObject({ verdict: 'not-comparable', isBaseline: true })
})

test('a job that came to nothing says why', () => {
  const now = { job: 'b', results: [] }
  const judged = judge({ config, now, baseline: job('a', ones(3)), failure: 'Secrets KEY are missing' })
  expect(judged).toMatchObject({ verdict: 'not-comparable', reason: 'Secrets KEY are missing', isBaseline: false })
})

test('a mean below the threshold is said with the verdict', () => {
  const judged = judge({ config: { ...config, failUnder: 0.9 }, now: job('b', [1, 0]), baseline: job('a', [1, 0]) })
  expect(judged).toMatchObject({ verdict: 'same', belowThreshold: true })
  const stored = { version: 1, schedule: 's', scheduledAt: '', judgedAt: '', ...judged } as const
  expect(describeVerdict(stored)).toContain('Its mean is below the schedule’s threshold.')
})

test('several agents are compared agent by agent', () => {
  const both = (name: string, oracle: number, nop: number) => ({
    job: name,
    results: [
      ...job(name, Array<number>(6).fill(oracle), { agent: 'oracle' }).results,
      ...job(name, Array<number>(6).fill(nop), { agent: 'nop' }).results,
    ],
  })
  const { verdict, tasks } = judge({ config, now: both('b', 1, 1), baseline: both('a', 1, 0) })
  expect(verdict).toBe('better')
  expect(tasks[0]).toMatchObject({ task: 't0 (nop)', change: 'better' })
})

test('where one of two jobs has several agents, the one that both have is compared with itself', () => {
  const both = [...job('a', ones(2)).results, ...job('a', zeros(2), { agent: 'nop' }).results]
  const several = { job: 'a', results: both }
  const single = job('b', [1, 0])
  const steady = { ...config, options: agentOf('oracle') }
  const added = { ...several, job: 'c' }
  expect(judge({ config: steady, now: single, baseline: several })).toMatchObject({
    verdict: 'worse',
    difference: { tasks: 2, mean: -0.5 },
    tasks: [{ task: 't1 (oracle)', change: 'worse' }, { change: 'removed' }, { change: 'removed' }],
  })
  expect(judge({ config: steady, now: added, baseline: single })).toMatchObject({ verdict: 'better' })
})
