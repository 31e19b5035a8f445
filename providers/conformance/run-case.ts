import assert from 'node:assert/strict'
import type { ConformanceCase, ConformanceContext } from './conformance-case.ts'

/**
 * Runs one case. Where the provider says that it lacks what the case needs, it must instead refuse such an order by
 * name. Throws when the provider does not conform.
 */
export async function runConformanceCase({ needs, run }: ConformanceCase, context: ConformanceContext): Promise<void> {
  if (needs === undefined || needs.isMet(context.provider.capabilities)) return run(context)
  const problems = await context.provider.check(context.makeSpec(needs.order))
  const fields = problems.map((problem) => problem.field)
  const expectation = `the provider lacks the capability, but its check does not refuse ${needs.field}`
  assert.ok(fields.includes(needs.field), expectation)
}

/** For a case that a provider is known to fail: throws when it has stopped failing. */
export async function assertStillDeviates(
  conformanceCase: ConformanceCase,
  context: ConformanceContext,
): Promise<void> {
  const failed = await runConformanceCase(conformanceCase, context).then(
    () => false,
    () => true,
  )
  assert.ok(failed, 'This no longer deviates: remove it from the list of known deviations.')
}
