import type { JobSummary } from '../protocol/grade.ts'
import type { CommandContext } from './context.ts'

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
