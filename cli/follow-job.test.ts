import { expect, test } from 'vitest'
import { rolloutResult } from '../results/fixtures/rollout-result.ts'
import { summarizeResults } from '../results/summary.ts'
import { scriptedContext, scriptedJob } from './fixtures/scripted-job.ts'
import { followJob } from './follow-job.ts'

const graded = rolloutResult({ task: 'a', rewards: { reward: 1 } })
const failed = rolloutResult({ task: 'b', failure: { code: 'sandbox-lost', message: 'gone' } })
const cancelled = rolloutResult({ task: 'c', failure: { code: 'cancelled', message: 'stopped' } })

const allGraded = summarizeResults({ job: 'j', results: [graded] })
const someFailed = summarizeResults({ job: 'j', results: [graded, failed] })
const someCancelled = summarizeResults({ job: 'j', results: [graded, failed, cancelled] })

test.each([
  ['0 when all are graded', allGraded, 0],
  ['1 when some failed', someFailed, 1],
  ['130 when some were cancelled', someCancelled, 130],
])('the exit code is %s', async (_, summary, code) => {
  const { job, end } = scriptedJob()
  const { context, stdout } = scriptedContext()
  const following = followJob({ job, json: false, onInterrupt: 'cancel' }, context)
  end(summary)
  expect(await following).toBe(code)
  expect(stdout()).toContain('total')
  expect(stdout()).toContain('Temporal UI: http://ui/j')
})

test('a job that was cancelled too late to cancel a rollout is still 130', async () => {
  const { job, end } = scriptedJob([{ type: 'job', state: 'cancelled', total: 1 }])
  const { context } = scriptedContext()
  const following = followJob({ job, json: false, onInterrupt: 'cancel' }, context)
  end(allGraded)
  expect(await following).toBe(130)
})

test('--json prints one object per line on stdout, the last the summary, and nothing else there', async () => {
  const { job, end } = scriptedJob([{ type: 'grade', rollout: 'a.oracle.1', rewards: { reward: 1 } }])
  const { context, stdout } = scriptedContext()
  const following = followJob({ job, json: true, onInterrupt: 'cancel' }, context)
  end(someFailed)
  await following
  const lines = stdout().trimEnd().split('\n')
  expect(lines.map((line) => JSON.parse(line))).toEqual([
    { version: 1, cursor: '', job: 'j', type: 'grade', rollout: 'a.oracle.1', rewards: { reward: 1 } },
    someFailed,
  ])
})

test('the first Ctrl-C asks the job to cancel, says so and waits; the exit code is 130', async () => {
  const { job, end, cancelled } = scriptedJob()
  const { context, stderr, send } = scriptedContext()
  const following = followJob({ job, json: false, onInterrupt: 'cancel' }, context)
  await Promise.resolve()
  send('SIGINT')
  await cancelled
  expect(stderr()).toContain('Cancelling: waiting for the sandboxes to be removed')
  end(someCancelled)
  expect(await following).toBe(130)
})

test('the second Ctrl-C leaves the job running and says how to come back', async () => {
  const { job } = scriptedJob()
  const { context, stderr, stdout, send } = scriptedContext()
  const following = followJob({ job, json: false, onInterrupt: 'cancel' }, context)
  await Promise.resolve()
  send('SIGINT')
  send('SIGINT')
  expect(await following).toBe(130)
  expect(stderr()).toContain('rollcall watch j')
  expect(stdout()).toBe('')
})

test('a watcher’s Ctrl-C leaves the job alone', async () => {
  const { job } = scriptedJob()
  let asked = 0
  const watched = { ...job, cancel: async () => (asked += 1) > 0 }
  const { context, send } = scriptedContext()
  const following = followJob({ job: watched, json: false, onInterrupt: 'leave' }, context)
  await Promise.resolve()
  send('SIGINT')
  expect(await following).toBe(130)
  expect(asked).toBe(0)
})

test('an export that fails does not hide the grades', async () => {
  const { job, end } = scriptedJob()
  const { context, stdout } = scriptedContext()
  const following = followJob({ job, json: false, jobsDir: '/dev/null', onInterrupt: 'cancel' }, context)
  end(allGraded)
  await expect(following).rejects.toThrow('is not in the store')
  expect(stdout()).toContain('total')
})

test('when the job cannot be cancelled the command ends with that error', async () => {
  const { job } = scriptedJob()
  const broken = { ...job, cancel: () => Promise.reject(new Error('no server')) }
  const { context, send } = scriptedContext()
  const following = followJob({ job: broken, json: false, onInterrupt: 'cancel' }, context)
  await Promise.resolve()
  send('SIGINT')
  await expect(following).rejects.toThrow('no server')
})
