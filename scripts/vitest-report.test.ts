import { expect, test } from 'vitest'
import { countTests, totals } from './vitest-report.ts'

const file = (name: string, status: string, tests: Record<string, string>) => ({
  name,
  status,
  assertionResults: Object.entries(tests).map(([fullName, result]) => ({ fullName, status: result })),
})

test('passed, failed and skipped tests are counted over all files', () => {
  const report = {
    testResults: [
      file('a.test.ts', 'failed', { one: 'passed', two: 'failed' }),
      file('b.test.ts', 'passed', { three: 'passed', four: 'pending', five: 'todo' }),
    ],
  }
  const counts = countTests(JSON.stringify(report))
  expect(counts).toEqual({ passed: 2, failed: 1, skipped: ['four', 'five'] })
  expect(totals(counts)).toBe('2 passed, 1 failed, 2 skipped')
})

test('a file that cannot be loaded is a failure although none of its tests ran', () => {
  const counts = countTests(JSON.stringify({ testResults: [file('broken.test.ts', 'failed', {})] }))
  expect(counts).toEqual({ passed: 0, failed: 1, skipped: [] })
  expect(totals(counts)).toBe('0 passed, 1 failed')
})
