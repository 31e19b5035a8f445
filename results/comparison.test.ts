import { expect, test } from 'vitest'
import type { ComparedJob, ComparedRollout } from './compared-job.ts'
import { formatComparison } from './comparison-table.ts'
import { compareJobs } from './comparison.ts'

const lost = { code: 'sandbox-lost', actor: 'sandbox' } as const

function job(
  name: string,
  rollouts: Partial<ComparedRollout>[],
  format: ComparedJob['format'] = 'rollcall',
): ComparedJob {
  const whole = rollouts.map((rollout) => ({ task: 'a', agent: 'oracle', checksum: '1', ...rollout }))
  return { name, format, finished: true, rollouts: whole }
}

test('regressions come first, and each other way to differ has its name', () => {
  const before = job('A', [
    { task: 'same', reward: 1 },
    { task: 'better', reward: 0 },
    { task: 'bad', reward: 1 },
    { task: 'worst', reward: 1 },
    { task: 'edited', reward: 1, checksum: 'old' },
    { task: 'lost', reward: 1 },
    { task: 'gone', reward: 1 },
  ])
  const now = job('B', [
    { task: 'same', reward: 1 },
    { task: 'better', reward: 1 },
    { task: 'bad', reward: 0.5 },
    { task: 'worst', reward: 0 },
    { task: 'edited', reward: 0, checksum: 'new' },
    { task: 'lost', failure: lost },
    { task: 'fresh', reward: 1 },
  ])
  const { tasks, difference } = compareJobs(before, now)
  expect(tasks.map(({ task, change }) => `${task} ${change}`)).toEqual([
    'worst worse',
    'bad worse',
    'edited changed',
    'lost not-graded',
    'gone removed',
    'fresh added',
    'better better',
    'same same',
  ])
  expect(difference).toMatchObject({ tasks: 4, mean: -0.125, test: 'sign-flip' })
})

test('failed rollouts are no wrong answers: the task is compared by what was graded, and they are counted apart', () => {
  const before = job('A', [{ reward: 1 }, { reward: 1 }])
  const now = job('B', [{ reward: 1 }, { failure: lost }])
  const comparison = compareJobs(before, now)
  expect(comparison.tasks).toMatchObject([{ change: 'same', failedBefore: 0, failedNow: 1, gradedNow: 1 }])
  expect(comparison.b.failures).toEqual([{ code: 'sandbox-lost', actor: 'sandbox', count: 1 }])
  expect(formatComparison(comparison)).toContain('not counted: 1 × sandbox-lost (sandbox must act)')
})

test('one agent on each side is compared with the other; of several each with itself', () => {
  const oracle = job('A', [{ reward: 1 }])
  const nop = job('B', [{ agent: 'nop', reward: 0 }])
  expect(compareJobs(oracle, nop).tasks).toMatchObject([{ task: 'a', change: 'worse', difference: -1 }])
  const both = job('C', [{ reward: 1 }, { agent: 'nop', reward: 0 }])
  expect(compareJobs(both, both).tasks.map(({ agent, change }) => `${agent} ${change}`)).toEqual([
    'oracle same',
    'nop same',
  ])
})

test('where one side has several agents, each is compared with itself', () => {
  const one = job('A', [{ reward: 1 }])
  const two = job('B', [{ reward: 1 }, { agent: 'nop', reward: 0 }])
  const changes = (a: ComparedJob, b: ComparedJob) =>
    compareJobs(a, b).tasks.map(({ agent, change }) => [agent, change])
  expect(changes(one, two)).toEqual([
    ['nop', 'added'],
    ['oracle', 'same'],
  ])
  expect(changes(two, one)).toEqual([
    ['nop', 'removed'],
    ['oracle', 'same'],
  ])
})

test('a task is the same unless checksums say otherwise; a changed one is told as that, also where it has no grade', () => {
  const changeOf = (before: Partial<ComparedRollout>[], now: Partial<ComparedRollout>[]) =>
    compareJobs(job('A', before), job('B', now)).tasks.map(({ change }) => change)
  const never = { task: 'a', agent: 'oracle', failure: { code: 'cancelled', actor: 'operator' } } as const
  const unknown = { ...job('B', []), rollouts: [never] }
  expect(compareJobs(job('A', [{ reward: 1 }]), unknown).tasks[0]?.change).toBe('not-graded')
  expect(compareJobs(unknown, job('A', [{ reward: 1 }])).tasks[0]?.change).toBe('not-graded')
  expect(changeOf([{ reward: 1 }], [{ failure: lost, checksum: 'new' }])).toEqual(['changed'])
  expect(changeOf([{ reward: 1 }], [{ reward: 1 }, { reward: 1, checksum: 'new' }])).toEqual(['changed'])
  expect(changeOf([{ reward: 0.1 + 0.2 }], [{ reward: 0.3 }])).toEqual(['same'])
})

test('checksums of Harbor and Rollcall say nothing about each other', () => {
  const harbor = job('H', [{ reward: 1, checksum: 'theirs' }], 'harbor')
  const comparison = compareJobs(harbor, job('R', [{ reward: 0 }]))
  expect(comparison).toMatchObject({ checksumsCompared: false, tasks: [{ change: 'worse' }] })
  expect(formatComparison(comparison)).toContain('Whether tasks have changed is not known')
})

test('the table says how large the difference is and whether it may be chance', () => {
  const rollouts = (reward: number) =>
    Array.from({ length: 6 }, (_, at) => ({ task: `t${at}`, reward: at === 0 ? 1 : reward }))
  const text = formatComparison(compareJobs(job('A', rollouts(1)), job('B', rollouts(0))))
  expect(text).toContain(
    'B − A: −0.833 [−1.262, −0.405] (95 %) over 6 tasks, p = 0.0625 (exact sign-flip test): may be chance',
  )
  expect(text).toContain('Tasks: 5 worse, 1 same')
})
