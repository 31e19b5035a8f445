import { z } from 'zod'

/** The part of vitest's JSON report that is read. */
const reportSchema = z.looseObject({
  testResults: z.array(
    z.looseObject({
      name: z.string(),
      status: z.string(),
      message: z.string().default(''),
      assertionResults: z.array(z.looseObject({ fullName: z.string(), status: z.string() })),
    }),
  ),
})

export interface TestCounts {
  readonly passed: number
  readonly failed: number
  /** Names of the tests that were skipped. */
  readonly skipped: readonly string[]
}

/** Counts the tests of a vitest JSON report; a file that could not be loaded counts as one failure. */
export function countTests(reportText: string): TestCounts {
  const { testResults } = reportSchema.parse(JSON.parse(reportText))
  const tests = testResults.flatMap((file) => file.assertionResults)
  const failed = tests.filter(({ status }) => status === 'failed').length
  const broken = testResults.filter(
    (file) => file.status === 'failed' && !file.assertionResults.some(({ status }) => status === 'failed'),
  ).length
  return {
    passed: tests.filter(({ status }) => status === 'passed').length,
    failed: failed + broken,
    skipped: tests.filter(({ status }) => status !== 'passed' && status !== 'failed').map(({ fullName }) => fullName),
  }
}

/** The last line of `npm test` and `.ci/run`. */
export function totals(counts: TestCounts): string {
  const skipped = counts.skipped.length > 0 ? `, ${counts.skipped.length} skipped` : ''
  return `${counts.passed} passed, ${counts.failed} failed${skipped}`
}
