import type { Command } from 'commander'
import type { ExportOptions } from '../../results/export-job.ts'
import type { CommandContext } from '../context.ts'
import { exitCodes } from '../exit-codes.ts'
import { printKeptSandboxes } from '../kept-sandboxes.ts'
import { printSummary } from '../print-summary.ts'
import type { CommandHost } from '../run-cli.ts'
import { parseJobId } from '../run-options.ts'

interface ResultsFlags {
  readonly json?: boolean
  readonly jobsDir?: string
}

export function defineResults(program: Command, host: CommandHost): void {
  program
    .command('results')
    .argument('<job>', 'id of the job')
    .option('--json', 'the summary as one JSON object')
    .option('--jobs-dir <dir>', 'also export everything to DIR/JOB, in Harbor’s layout')
    .description('Prints the grades of a job from the store, also while it runs and after Temporal has forgotten it.')
    .addHelpText(
      'after',
      '\nExamples:\n  rollcall results nightly-7\n  rollcall results nightly-7 --json --jobs-dir out\n',
    )
    .action(async (id: string, flags: ResultsFlags) => host.exitWith(await results(id, flags, host.context)))
}

async function results(id: string, { json = false, jobsDir }: ResultsFlags, context: CommandContext): Promise<number> {
  const [{ openStore }, { readGrades }] = await Promise.all([
    import('../../store/open-store.ts'),
    import('../../results/read-job.ts'),
  ])
  const store = openStore(context.environment.storeUrl)
  const job = parseJobId(id)
  const { summary, finished } = await readGrades(store, job)
  const folder = jobsDir === undefined ? undefined : await exported({ store, job, jobsDir })
  if (!finished)
    context.stderr.write(
      `Job ${job} has not ended, or was terminated: these are the rollouts that have ended so far.\n`,
    )
  await printSummary({ summary, json, folder }, context)
  if (finished) await printKeptSandboxes({ store, job }, context)
  return summary.failed > 0 ? exitCodes.failed : exitCodes.ok
}

async function exported(target: ExportOptions): Promise<string> {
  const { exportJob } = await import('../../results/export-job.ts')
  return await exportJob(target)
}
