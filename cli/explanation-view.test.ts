import { expect, test } from 'vitest'
import type { RolloutExplanation } from '../client/explanation.ts'
import { explanationLines } from './explanation-view.ts'

const at = { nowMs: Date.parse('2026-01-02T03:10:00Z'), storeUrl: 'file:///store' }
const rollout = { id: 'j.t.oracle.1', job: 'j', rollout: 't.oracle.1' }

test('what runs, since when, in whose hands and where', () => {
  const explained: RolloutExplanation = {
    ...rollout,
    state: 'running',
    phase: 'turns',
    doing: 'it runs bash "make"',
    since: '2026-01-02T03:04:05.000Z',
    turn: 7,
    worker: { identity: '42@box', pid: 42, host: 'box' },
    sandbox: { provider: 'docker', place: 'engine', name: 'rc-x', incarnation: 2 },
  }
  expect(explanationLines(explained, at)).toEqual([
    'j.t.oracle.1  running',
    '  now      it runs bash "make"',
    '  since    2026-01-02T03:04:05.000Z (for 5:55)',
    '  in       turns, turn 7',
    '  worker   42@box (process 42 on host box)',
    '  sandbox  rc-x (docker engine), its sandbox number 2',
  ])
})

test('what is tried again: the attempt, when, and why', () => {
  const retry = {
    attempt: 4,
    failure: { code: 'provider-busy', message: 'no room' },
    nextAt: '2026-01-02T03:10:09.000Z',
  }
  expect(explanationLines({ ...rollout, state: 'running', doing: 'it waits', retry }, at)).toEqual([
    'j.t.oracle.1  running',
    '  now      it waits',
    '  attempt  4, at 2026-01-02T03:10:09.000Z (in 0:09)',
    '  because  provider-busy: no room',
  ])
  const died = explanationLines({ ...rollout, state: 'running', doing: 'it runs', retry: { attempt: 2 } }, at)
  expect(died.slice(2)).toEqual(['  attempt  2, it runs', '  because  the one before ended without a word'])
})

test('what ended it, who must act and where its trace lies; nothing of it speaks to the terminal', () => {
  const failure = { code: 'grader-failed', message: 'oh\u001b[31m', actor: 'grader', meaning: 'It failed.' } as const
  const ended = { at: '2026-01-02T03:09:00.000Z', failure, trace: 'jobs/j/trace.jsonl' }
  const inBucket = { ...at, storeUrl: 's3://bucket/team?endpoint=http://x' }
  expect(explanationLines({ ...rollout, state: 'failed', doing: 'it failed', ended }, inBucket)).toEqual([
    'j.t.oracle.1  failed',
    '  now       it failed',
    '  ended     2026-01-02T03:09:00.000Z',
    '  cause     grader-failed: oh\\e[31m',
    '  must act  grader (It failed.)',
    '  trace     s3://bucket/team/jobs/j/trace.jsonl',
  ])
})

test('who waits for a worker is told how to start one', () => {
  const waiting = { ...rollout, state: 'waiting', doing: 'it waits' } as const
  const own = explanationLines({ ...waiting, unservedQueue: 'rollcall-j' }, at)
  expect(own.at(-1)).toBe('  do   rollcall watch j starts a worker')
  const shared = explanationLines({ ...waiting, unservedQueue: 'rollcall.docker.x' }, at)
  expect(shared.at(-1)).toBe('  do   rollcall worker, on a host that this queue is for')
})
