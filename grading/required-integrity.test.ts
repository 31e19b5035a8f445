import { expect, test } from 'vitest'
import { integrityClasses } from '../protocol/grade.ts'
import { integrityFailure } from './required-integrity.ts'

test('a class is accepted by itself and by every weaker requirement, and by no stronger one', () => {
  const accepted = integrityClasses.map((found) =>
    integrityClasses.map((required) => integrityFailure({ found, required, evidence: [] }) === undefined),
  )
  expect(accepted).toEqual([
    [true, true, true, true],
    [false, true, true, true],
    [false, false, true, true],
    [false, false, false, true],
  ])
})

test('where nothing is required every class is accepted', () => {
  expect(integrityFailure({ found: 'live', required: undefined, evidence: ['sleep'] })).toBeUndefined()
})

test('a judge is the reason only for what it keeps from being better; else processes, or paths that were changed, are', () => {
  const why = (grade: Partial<Parameters<typeof integrityFailure>[0]>) =>
    integrityFailure({ found: 'live', required: 'separate', evidence: [], ...grade })?.message
  expect(why({ found: 'clean', isJudged: true })).toContain('a judge has read what the agent wrote')
  expect(why({ isJudged: true })).toContain('does not tell the agent’s processes from others')
  expect(why({ found: 'clean', evidence: ['/etc/passwd'] })).toMatch(/changed before the tests: \/etc\/passwd$/)
})

test('the failure names both classes and the evidence, cut where it is long', () => {
  const evidence = ['sleep 1', `sh -c ${'x'.repeat(500)}`, 'sleep 3', 'sleep 4', 'sleep 5']
  const failure = integrityFailure({ found: 'live', required: 'clean', evidence })
  expect(failure?.code).toBe('integrity-too-weak')
  expect(failure?.message).toMatch(/is live, weaker than clean, which the job requires: left in the sandbox: sleep 1; /)
  expect(failure?.message).toMatch(/sleep 3 and 2 more$/)
  expect(failure?.message.length).toBeLessThan(400)
})
