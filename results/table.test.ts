import { stripVTControlCharacters } from 'node:util'
import { expect, test } from 'vitest'
import { rolloutResult } from './fixtures/rollout-result.ts'
import { summarizeResults } from './summary.ts'
import { formatJobTable } from './table.ts'
import type { RolloutResult } from '../protocol/grade.ts'

const lost = { code: 'sandbox-lost', message: 'The sandbox died.' } as const

function tableOf(results: RolloutResult[], options = {}): string {
  return formatJobTable(summarizeResults({ job: 'j', results }), options)
}

/** The cells of the row that begins with `label`. */
function row(table: string, label: string): string[] | undefined {
  const rows = table.split('\n').map((line) => line.split('│').map((cell) => cell.trim()))
  return rows.find((cells) => cells[1] === label)?.slice(1, -1)
}

test('the table shows each task and the total, with failed rollouts outside the mean', () => {
  const table = tableOf([
    rolloutResult({ task: 'a', attempt: 1, rewards: { reward: 1 } }),
    rolloutResult({ task: 'a', attempt: 2, rewards: { reward: 0 } }),
    rolloutResult({ task: 'b', failure: lost }),
  ])
  const rates = ['pass@1', 'pass@2', 'pass^2']
  expect(row(table, 'Task')).toEqual(['Task', 'Attempts', 'Mean', 'Median', ...rates, 'Graded', 'Failed', 'Integrity'])
  expect(row(table, 'a')).toEqual(['a', '2', '0.500', '0.500', '0.500', '1.000', '0.000', '2', '0', 'clean'])
  expect(row(table, 'b')).toEqual(['b', '1', '–', '–', '–', '–', '–', '0', '1', ''])
  expect(row(table, 'total')).toEqual(['total', '3', '0.500', '0.500', '0.500', '1.000', '0.000', '2', '1', 'clean'])
})

test('where every task has one attempt there is nothing to tell of several', () => {
  const table = tableOf([rolloutResult({ task: 'a', rewards: { reward: 1 } })])
  expect(row(table, 'Task')).toEqual(['Task', 'Attempts', 'Mean', 'Graded', 'Failed', 'Integrity'])
})

test('a failed rollout is listed with its code, who must act and its message', () => {
  const table = tableOf([rolloutResult({ task: 'b', failure: lost })])
  expect(table).toContain('1 failed rollout has no reward:')
  expect(table).toContain('b.oracle.1: sandbox-lost (who must act: sandbox): The sandbox died.')
})

test('a long list of failures is cut with the command that shows all', () => {
  const results = [1, 2, 3].map((attempt) => rolloutResult({ task: 'b', attempt, failure: lost }))
  const table = tableOf(results, { maxFailures: 2 })
  expect(table).toContain('b.oracle.2')
  expect(table).not.toContain('b.oracle.3')
  expect(table).toContain('… and 1 more: rollcall results j --json')
})

test('agents and cancelled rollouts have columns only when there are some', () => {
  const table = tableOf([
    rolloutResult({ task: 'a', agent: 'nop', rewards: { reward: 0 } }),
    rolloutResult({ task: 'a', agent: 'oracle', failure: { code: 'cancelled', message: 'stopped' } }),
  ])
  expect(row(table, 'Task')).toEqual([
    'Task',
    'Agent',
    'Attempts',
    'Mean',
    'Graded',
    'Failed',
    'Cancelled',
    'Integrity',
  ])
  expect(row(table, 'total')).toEqual(['total', '', '2', '0.000', '1', '0', '1', 'clean'])
})

test('control characters of names and messages do not reach the terminal', () => {
  const failure = { code: 'grader-failed', message: '\u001b[2Jcleared\r\u0007\u009b31m\u202egnp' } as const
  const table = tableOf([rolloutResult({ task: 'evil\u001b]0;title\u0007', failure })])
  expect(stripVTControlCharacters(table)).toBe(table)
  for (const character of ['\r', '\u0007', '\u202e']) expect(table).not.toContain(character)
  expect(table).toContain('\\e[2Jcleared\\r\\x07\\x9b31m\\u202egnp')
})

test('colours are only there when asked for', () => {
  const results = [rolloutResult({ task: 'a', rewards: { reward: 1 } })]
  const colored = tableOf(results, { color: true })
  expect(colored).not.toBe(stripVTControlCharacters(colored))
  expect(tableOf(results)).toBe(stripVTControlCharacters(colored))
})
