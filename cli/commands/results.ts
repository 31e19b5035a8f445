import type { Command } from 'commander'
import { RollcallError } from '../../protocol/failure.ts'
import type { JobSummary } from '../../protocol/grade.ts'
import type { ExportOptions } from '../../results/export-job.ts'
import type { CommandContext } from '../context.ts'
import { exitCodes } from '../exit-codes.ts'
import { parseReward } from '../parse-values.ts'
import type { CommandHost } from '../run-cli.ts'
import { parseJobId } from '../run-options.ts'

interface ResultsFlags {
  readonly json?: boolean
  readonly csv?: boolean
  readonly junit?: string
  readonly jobsDir?: string
  readonly failUnder?: string
  readonly passReward?: string
}

export function defineResults(program: Command, host: CommandHost): void {
  program
    .command('results')
    .argument('<job>', 'id of the job')
    .option('--json', 'the summary as one JSON object')
    .option('--csv', 'one line per rollout, after a line of names')
    .option('--junit <file>', 'JUnit XML to FILE, or with - to stdout instead of the table')
    .option('--jobs-dir <dir>', 'also export everything to DIR/JOB, in Harbor’s layout')
    .option('--pass-reward <reward>', 'the reward from which a rollout counts as passed (default 1)')
    .option('--fail-under <mean>', 'exit code 1 when the mean is below this, or nothing was graded')
    .description('Prints the grades of a job from the store, also while it runs and after Temporal has forgotten it.')
    .addHelpText(
      'after',
      '\nExamples:\n  rollcall results nightly-7\n  rollcall results nightly-7 --json --jobs-dir out\n' +
        '  rollcall results nightly-7 --csv > nightly-7.csv\n  rollcall results nightly-7 --junit junit.xml --fail-under 0.9\n',
    )
    .action(async (id: string, flags: ResultsFlags) => host.exitWith(await results(id, flags, host.context)))
}

async function results(id: string, flags: ResultsFlags, context: CommandContext): Promise<number> {
  const form = formOf(flags)
  const passReward = flags.passReward === undefined ? undefined : parseReward('--pass-reward', flags.passReward)
  const failUnder = flags.failUnder === undefined ? undefined : parseReward('--fail-under', flags.failUnder)
  const [{ openStore }, { readGrades }, { wasCancelled }, { exitCodeOf, printSummary }, { printKeptSandboxes }] =
    await Promise.all([
      import('../../store/open-store.ts'),
      import('../../results/read-job.ts'),
      import('../../results/summary.ts'),
      import('../print-summary.ts'),
      import('../kept-sandboxes.ts'),
    ])
  const store = openStore(context.environment.storeUrl)
  const job = parseJobId(id)
  const { summary, finished } = await readGrades(store, job, { passReward })
  const folder = flags.jobsDir === undefined ? undefined : await exported({ store, job, jobsDir: flags.jobsDir })
  if (!finished)
    context.stderr.write(
      `Job ${job} has not ended, or was terminated: these are the rollouts that have ended so far.\n`,
    )
  if (flags.junit !== undefined) await writeJunit(summary, { to: flags.junit, passReward, context })
  if (form === 'csv') await writeCsv(summary, context)
  else if (form !== 'junit') await printSummary({ summary, json: form === 'json', folder }, context)
  if (finished) await printKeptSandboxes({ store, job }, context)
  const code = exitCodeOf(summary, { failUnder, context })
  return finished && wasCancelled(summary) ? exitCodes.interrupted : code
}

/** What stdout gets. @throws RollcallError `configuration-invalid` for two forms at a time */
function formOf({ json, csv, junit }: ResultsFlags): 'table' | 'json' | 'csv' | 'junit' {
  const asked = [
    ...(json === true ? (['json'] as const) : []),
    ...(csv === true ? (['csv'] as const) : []),
    ...(junit === '-' ? (['junit'] as const) : []),
  ]
  const [form = 'table', other] = asked
  if (other === undefined) return form
  throw new RollcallError(
    'configuration-invalid',
    `--${form} and --${other} are both given: expected one of --json, --csv and --junit -, each of which is all of stdout`,
  )
}

async function writeCsv(summary: JobSummary, { stdout }: CommandContext): Promise<void> {
  const { formatCsv } = await import('../../results/csv.ts')
  stdout.write(formatCsv(summary))
}

async function writeJunit(
  summary: JobSummary,
  { to, passReward, context }: { to: string; passReward: number | undefined; context: CommandContext },
): Promise<void> {
  const [{ formatJunit }, { writeOutput }] = await Promise.all([
    import('../../results/junit.ts'),
    import('../write-output.ts'),
  ])
  const xml = formatJunit(summary, passReward)
  if (to === '-') context.stdout.write(xml)
  else await writeOutput('--junit', to, xml)
}

async function exported(target: ExportOptions): Promise<string> {
  const { exportJob } = await import('../../results/export-job.ts')
  return await exportJob(target)
}
