import { expect, test } from 'vitest'
import type { ComparedRollout } from './compared-job.ts'
import { describeVerdict, giveVerdict } from './verdict.ts'
import type { JudgedJob } from './verdict.ts'

const config = { maxFailedShare: 0.1 }
const lost = { code: 'sandbox-lost', actor: 'sandbox' } as const

/** A job of a model with one attempt at each task: its reward, or undefined for a failed one. */
function job(name: string, rewards: readonly (number | undefined)[], more: Partial<ComparedRollout> = {}): JudgedJob {
  const rollouts = rewards.map((reward, index) => ({
    task: `t${index}`,
    agent: 'a',
    checksum: 'c',
    ...(reward === undefined ? { failure: lost } : { reward }),
    ...more,
  }))
  return { name, format: 'rollcall', finished: true, rollouts, agentKinds: ['model'] }
}

/** The same of an agent that decides nothing by chance. */
const steady = (name: string, rewards: readonly number[]): JudgedJob => ({
  ...job(name, rewards),
  agentKinds: ['oracle', 'nop'],
})

const ones = (count: number) => Array<number>(count).fill(1)
const zeros = (count: number) => Array<number>(count).fill(0)

test('the first job has nothing to be compared with, and is what the next one is compared with', () => {
  expect(giveVerdict({ config, now: job('a', ones(3)) })).toMatchObject({
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
  expect(giveVerdict({ config, now: job('b', now), baseline: job('a', before) })).toMatchObject({
    ...expected,
    baseline: 'a',
  })
})

test('the reason says by how much, over how many tasks and whether it may be chance', () => {
  expect(giveVerdict({ config, now: job('b', ones(6)), baseline: job('a', zeros(6)) }).reason).toBe(
    '+1.000 over 6 tasks (p = 0.031).',
  )
})

test('one task of six is no chance where the agent decides nothing by chance', () => {
  const judged = giveVerdict({ config, now: steady('b', [0, ...ones(5)]), baseline: steady('a', ones(6)) })
  expect(judged).toMatchObject({ verdict: 'worse', tasks: [{ task: 't0', change: 'worse' }] })
  expect(judged.reason).toBe('−0.167 over 6 tasks (by agents that decide nothing by chance).')
  expect(giveVerdict({ config, now: steady('b', [1, 0]), baseline: steady('a', [0, 1]) }).verdict).toBe('same')
})

test('one task of six may be chance where either job has an agent that decides by chance', () => {
  const rewards = [0, ...ones(5)]
  expect(giveVerdict({ config, now: steady('b', rewards), baseline: job('a', ones(6)) }).verdict).toBe('same')
  const mixed = { ...steady('b', rewards), agentKinds: ['oracle', 'model'] as const }
  expect(giveVerdict({ config, now: mixed, baseline: steady('a', ones(6)) })).toMatchObject({
    verdict: 'same',
    reason: '−0.167 over 6 tasks (p = 1.000).',
  })
})

test('rewards that differ in their last bit alone do not differ', () => {
  const judged = giveVerdict({ config, now: steady('b', [0.1, 0.2, 0]), baseline: steady('a', [0, 0, 0.3]) })
  expect(judged).toMatchObject({ verdict: 'same', reason: 'No difference over 3 tasks.' })
  expect(giveVerdict({ config, now: steady('b', [0.3]), baseline: steady('a', [0.1 + 0.2]) }).tasks).toEqual([])
})

test('tasks that did otherwise are named, the worse ones first, also where it may be chance', () => {
  const { tasks } = giveVerdict({ config, now: job('b', [1, 0, 1]), baseline: job('a', [0, 1, 1]) })
  expect(tasks).toEqual([
    { task: 't1', change: 'worse', before: 1, now: 0 },
    { task: 't0', change: 'better', before: 0, now: 1 },
  ])
})

test('a changed, an added and a removed task are no regression', () => {
  const baseline = job('a', ones(3))
  const [changed, same] = [
    { task: 't0', checksum: 'other', reward: 0 },
    { task: 't1', reward: 1 },
  ]
  const added = { task: 'new', reward: 0 }
  const rollouts = [changed, same, added].map((one) => ({ agent: 'a', checksum: 'c', ...one }))
  expect(giveVerdict({ config, now: { ...job('b', []), rollouts }, baseline })).toMatchObject({
    verdict: 'same',
    difference: { mean: 0 },
    tasks: [
      { task: 't0', change: 'changed' },
      { task: 't2', change: 'removed' },
      { task: 'new', change: 'added' },
    ],
  })
})

test('failures never make a job worse: too many make it not comparable, and no baseline', () => {
  const baseline = job('a', ones(10))
  expect(giveVerdict({ config, now: job('b', [undefined, ...ones(9)]), baseline })).toMatchObject({
    verdict: 'same',
    failed: 1,
  })
  expect(giveVerdict({ config, now: job('b', [undefined, undefined, ...zeros(8)]), baseline })).toMatchObject({
    verdict: 'not-comparable',
    reason: '2 of 10 rollouts were not graded (2 × sandbox-lost: sandbox must act), and at most 10 % may be missing.',
    isBaseline: false,
  })
  expect(
    giveVerdict({ config, now: job('b', ones(10)), baseline: job('a', [undefined, undefined, ...ones(8)]) }),
  ).toMatchObject({ verdict: 'not-comparable', isBaseline: true })
})

test('of a task that a side has not graded nothing is said', () => {
  const loose = { maxFailedShare: 0.5 }
  expect(giveVerdict({ config: loose, now: job('b', [undefined, 1]), baseline: job('a', [1, 1]) }).tasks).toEqual([])
})

test('rollouts that were cancelled have no grade either; a job without any grade is never comparable', () => {
  const cancelled = { failure: { code: 'cancelled', actor: 'operator' } } as const
  const now = {
    ...job('b', ones(4)),
    rollouts: [...job('b', ones(4)).rollouts, { task: 't4', agent: 'a', ...cancelled }],
  }
  expect(giveVerdict({ config, now, baseline: job('a', ones(5)) })).toMatchObject({
    verdict: 'not-comparable',
    failed: 0,
    graded: 4,
  })
  const careless = { maxFailedShare: 1 }
  const nothing = giveVerdict({ config: careless, now: job('b', [undefined]), baseline: job('a', [1]) })
  expect(nothing).toMatchObject({ verdict: 'not-comparable', isBaseline: false })
  expect(giveVerdict({ config: careless, now: job('b', []) }).reason).toBe('No rollout has ended.')
})

test('a baseline that is not over cannot be used', () => {
  const judged = giveVerdict({ config, now: job('b', [1]), baseline: { ...job('a', [1]), finished: false } })
  expect(judged.reason).toBe('The baseline a cannot be used: it has not come to its end.')
})

test('a job that came to nothing says why', () => {
  const now = job('b', [])
  const judged = giveVerdict({ config, now, baseline: job('a', ones(3)), failure: 'Secrets KEY are missing' })
  expect(judged).toMatchObject({ verdict: 'not-comparable', reason: 'Secrets KEY are missing', isBaseline: false })
})

test('a mean below the threshold is said with the verdict', () => {
  const judged = giveVerdict({
    config: { ...config, failUnder: 0.9 },
    now: job('b', [1, 0]),
    baseline: job('a', [1, 0]),
  })
  expect(judged).toMatchObject({ verdict: 'same', belowThreshold: true })
  const stored = { version: 1, schedule: 's', scheduledAt: '', judgedAt: '', ...judged } as const
  expect(describeVerdict(stored)).toContain('Its mean is below the schedule’s threshold.')
  const exactly = giveVerdict({ config: { ...config, failUnder: 0.5 }, now: job('b', [1, 0]) })
  expect(exactly.belowThreshold).toBe(false)
})

test('several agents are compared agent by agent', () => {
  const both = (name: string, oracle: number, nop: number) => ({
    ...job(name, []),
    rollouts: [
      ...job(name, Array<number>(6).fill(oracle), { agent: 'oracle' }).rollouts,
      ...job(name, Array<number>(6).fill(nop), { agent: 'nop' }).rollouts,
    ],
  })
  const { verdict, tasks } = giveVerdict({ config, now: both('b', 1, 1), baseline: both('a', 1, 0) })
  expect(verdict).toBe('better')
  expect(tasks[0]).toMatchObject({ task: 't0 (nop)', change: 'better' })
  const alone = job('a', ones(6), { agent: 'oracle' })
  const grown = giveVerdict({ config, now: both('b', 0, 0), baseline: alone })
  expect(grown).toMatchObject({ verdict: 'worse', tasks: { length: 12, 0: { task: 't0 (oracle)', change: 'worse' } } })
})
