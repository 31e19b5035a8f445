import type { JobSummary } from '../protocol/grade.ts'
import type { CommandContext } from './context.ts'
import { exitCodes } from './exit-codes.ts'

/** The end of `run`, `watch` and `results`: the table of grades, or with `--json` the summary as the last line. */
export async function printSummary(
  ending: { summary: JobSummary; json: boolean; folder?: string | undefined; uiUrl?: string | undefined },
  { stdout }: CommandContext,
): Promise<void> {
  if (ending.json) {
    stdout.write(`${JSON.stringify(ending.summary)}\n`)
    return
  }
  const { formatJobTable } = await import('../results/table.ts')
  stdout.write(`${formatJobTable(ending.summary, { color: stdout.color })}\n`)
  if (ending.folder !== undefined) stdout.write(`Results: ${ending.folder}\n`)
  if (ending.uiUrl !== undefined) stdout.write(`Temporal UI: ${ending.uiUrl}\n`)
}

/**
 * What grades mean to a script: 130 when rollouts were cancelled, 1 when some failed or the mean is below `failUnder`,
 * which the mean of nothing is, and that is said on stderr.
 */
export function exitCodeOf(
  { failed, cancelled, mean }: Pick<JobSummary, 'failed' | 'cancelled' | 'mean'>,
  { failUnder, context }: { failUnder?: number | undefined; context: CommandContext },
): number {
  const isBelow = failUnder !== undefined && (mean === undefined || mean < failUnder)
  if (isBelow) {
    const found = mean === undefined ? 'Nothing was graded, so there is no mean' : `The mean is ${String(mean)}`
    context.stderr.write(`${found}: expected at least ${failUnder} (--fail-under).\n`)
  }
  if (cancelled > 0) return exitCodes.interrupted
  return failed > 0 || isBelow ? exitCodes.failed : exitCodes.ok
}
