import { expect, test } from 'vitest'
import type { JobStatus } from '../protocol/events.ts'
import type { JobEvent } from '../protocol/events.ts'
import { PlainProgress } from './plain-progress.ts'
import { etaMs, formatDuration, progressLines } from './progress-view.ts'
import type { ProgressView } from './progress-view.ts'
import { RetryNotices } from './retry-notices.ts'

const status: JobStatus = {
  job: 'j',
  state: 'running',
  total: 20,
  graded: 9,
  failed: 1,
  cancelled: 0,
  running: 2,
  concurrency: 4,
  rewardSum: 6,
}

const view: ProgressView = {
  status,
  running: [
    { rollout: 'a.oracle.1', phase: 'open', turn: 0, sinceMs: 1000 },
    { rollout: 'b.oracle.1', phase: 'turns', turn: 3, sinceMs: 61_000 },
  ],
  elapsedMs: 60_000,
  doneBefore: 0,
  columns: 100,
  rows: 24,
}

test('the overall line has bar, count, mean over graded rollouts, failures, time and ETA', () => {
  expect(progressLines(view)[0]).toBe('██████████░░░░░░░░░░ 10/20  mean 0.667  1 failed  1:00  ETA 1:00')
})

test('a running rollout has one line with its phase or turn and its time', () => {
  expect(progressLines(view).slice(1)).toEqual(['  a.oracle.1  opening sandbox  0:01', '  b.oracle.1  turn 3  1:01'])
})

test('a step that is tried again says why, and a command that only looks tells no time', () => {
  const retried = { attempt: 3, message: 'no \u001bimage' }
  const running = [{ rollout: 'a.oracle.1', phase: 'open', turn: 0, sinceMs: 1000, retried } as const]
  const line = 'a.oracle.1  opening sandbox  0:01  attempt 3 after: no '
  expect(progressLines({ ...view, running })[1]).toContain(line)
  expect(progressLines({ ...view, running })[1]).not.toContain('\u001b')
  expect(progressLines({ ...view, running, elapsedMs: undefined })[1]).toContain('opening sandbox  attempt 3')
})

test('every reason for trying again is said once, with how many wait for it', () => {
  const rollout = (name: string, message?: string) =>
    ({
      rollout: name,
      phase: 'open',
      turn: 0,
      sinceMs: 0,
      ...(message === undefined ? {} : { retried: { attempt: 2, message } }),
    }) as const
  const notices = new RetryNotices()
  expect(notices.lines({ running: [rollout('a')] })).toEqual([])
  expect(notices.lines({ running: [rollout('a', 'x'), rollout('b', 'x'), rollout('c', 'y')] })).toEqual([
    'a and 1 more are tried again after: x',
    'c is tried again after: y',
  ])
  expect(notices.lines({ running: [rollout('d', 'x')] })).toEqual([])
})

test('before anything is graded the mean is –, and there is no ETA', () => {
  const fresh = { ...status, graded: 0, failed: 0, rewardSum: 0 }
  expect(progressLines({ ...view, status: fresh })[0]).toBe('░░░░░░░░░░░░░░░░░░░░ 0/20  mean –  1:00')
})

test('what had ended before this command came says nothing about the ETA', () => {
  expect(etaMs({ status, elapsedMs: 60_000, doneBefore: 8 })).toBe(300_000)
  expect(etaMs({ status, elapsedMs: 60_000, doneBefore: 10 })).toBeUndefined()
})

test('nothing is wider or taller than the terminal', () => {
  const running = Array.from(
    { length: 50 },
    (_, n) => ({ rollout: `task-${n}`, phase: 'grade', turn: 0, sinceMs: 0 }) as const,
  )
  const lines = progressLines({ ...view, running, columns: 20, rows: 8, notice: 'Cancelling: waiting' })
  expect(lines).toHaveLength(7)
  expect(Math.max(...lines.map((line) => line.length))).toBe(20)
  expect(lines.slice(-2)).toEqual(['  … and 46 more', 'Cancelling: waiting'])
  expect(progressLines({ ...view, running, columns: 1, rows: 1 })).toEqual(['…'])
})

test('control characters in names do not reach the terminal', () => {
  const running = [{ rollout: 'a\u001b[2J', phase: 'open', turn: 0, sinceMs: 0 } as const]
  expect(progressLines({ ...view, running }).join('\n')).not.toContain('\u001b')
})

test.each([
  [0, '0:00'],
  [7_400, '0:07'],
  [750_000, '12:30'],
  [3_723_000, '1:02:03'],
])('%d ms is %s', (durationMs, text) => {
  expect(formatDuration(durationMs)).toBe(text)
})

test('where there is no terminal each thing that happened is a line', () => {
  const progress = new PlainProgress()
  const at = { version: 1, cursor: '', job: 'j' } as const
  const lines = [
    progress.line({ ...at, type: 'job', state: 'started', total: 2 }, 0),
    progress.line({ ...at, type: 'rollout', rollout: 'a.oracle.1', state: 'started', phase: 'open' }, 1000),
    progress.line({ ...at, type: 'turn', rollout: 'a.oracle.1', turn: 0, calls: 1 }, 2000),
    progress.line({ ...at, type: 'grade', rollout: 'a.oracle.1', rewards: { reward: 0.5 } }, 3000),
    progress.line({ ...at, type: 'rollout', rollout: 'a.oracle.1', state: 'graded' }, 3000),
    progress.line(
      { ...at, type: 'failure', rollout: 'b.oracle.1', failure: { code: 'host-lost', message: 'gone\n' } },
      4000,
    ),
    progress.line({ ...at, type: 'rollout', rollout: 'b.oracle.1', state: 'failed' }, 4000),
  ]
  expect(lines.filter((line) => line !== undefined)).toEqual([
    '[0:00] job j started: 2 rollouts',
    '[0:01] a.oracle.1 started',
    '[0:03] a.oracle.1 graded 0.500 (1/2, mean 0.500)',
    '[0:04] b.oracle.1 failed host-lost: gone\\n (2/2, mean 0.500)',
  ])
})

test('a cancelled rollout is not said to be cancelled twice, and one rollout is not several', () => {
  const progress = new PlainProgress()
  const say = (event: object) => progress.line({ version: 1, cursor: '', job: 'j', ...event } as JobEvent, 0)
  expect(say({ type: 'job', state: 'started', total: 1 })).toBe('[0:00] job j started: 1 rollout')
  say({ type: 'failure', rollout: 'a', failure: { code: 'cancelled', message: 'The job was cancelled.' } })
  const ended = say({ type: 'rollout', rollout: 'a', state: 'cancelled' })
  expect(ended).toBe('[0:00] a cancelled: The job was cancelled. (1/1, mean –)')
})
