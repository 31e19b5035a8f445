import { expect, test } from 'vitest'
import { scriptedContext } from './fixtures/scripted-job.ts'
import { exitCodeOf } from './print-summary.ts'

const { context } = scriptedContext()
const all = { failed: 0, cancelled: 0, mean: 0.5 }

test.each([
  ['all graded', all, undefined, 0],
  ['some failed', { ...all, failed: 1 }, undefined, 1],
  ['some cancelled, whatever failed', { ...all, failed: 1, cancelled: 1 }, undefined, 130],
  ['the mean is as wanted', all, 0.5, 0],
  ['the mean is below', all, 0.51, 1],
  ['nothing graded, however little is wanted', { failed: 0, cancelled: 0 }, -1, 1],
])('%s', (_, summary, failUnder, code) => {
  expect(exitCodeOf(summary, { failUnder, context })).toBe(code)
})
