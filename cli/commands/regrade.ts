import type { Command } from 'commander'
import { integrityClasses } from '../../protocol/grade.ts'
import type { CommandContext } from '../context.ts'
import { launchAndFollow } from '../launch-and-follow.ts'
import { parseChoice, parseCount, parseReward } from '../parse-values.ts'
import type { CommandHost } from '../run-cli.ts'
import { parseJobId } from '../run-options.ts'

interface RegradeFlags {
  readonly tests?: string
  readonly job?: string
  readonly concurrency?: string
  readonly requireIntegrity?: string
  readonly jobsDir: string
  readonly worker: boolean
  readonly detach?: boolean
  readonly json?: boolean
  readonly failUnder?: string
}

export function defineRegrade(program: Command, host: CommandHost): void {
  program
    .command('regrade')
    .argument('<job>', 'id of a job that is over')
    .option('--tests <dir>', 'other tests: DIR/TASK/tests, or DIR itself for every task (default: those it had)')
    .option('-n, --concurrency <n>', 'rollouts at the same time; default: as before')
    .option('--require-integrity <class>', 'a grade of a weaker class fails: separate, non-root, clean, live')
    .option('--job <id>', 'name of the new job (default: JOB-g1, JOB-g2, …)')
    .option('--jobs-dir <dir>', 'where results are exported as they come', 'jobs')
    .option('--no-worker', 'start no worker: `rollcall worker` runs elsewhere')
    .option('--detach', 'start the job and return at once')
    .option('--json', 'one JSON object per line: events, last the summary')
    .option('--fail-under <mean>', 'exit code 1 when the mean is below this, or nothing was graded')
    .description('Grades the stored artifacts of an earlier job again, without its agents, as a new job.')
    .addHelpText(
      'after',
      '\nOnly artifacts are graded: /logs/artifacts, and what tasks name as artifacts; not the whole sandbox.\n' +
        '\nExamples:\n  rollcall regrade nightly-7\n  rollcall regrade nightly-7 --tests tasks --job nightly-7-new-tests\n',
    )
    .action(async (id: string, flags: RegradeFlags) => host.exitWith(await regrade(id, flags, host.context)))
}

async function regrade(id: string, flags: RegradeFlags, context: CommandContext): Promise<number> {
  const parent = parseJobId(id)
  const failUnder = flags.failUnder === undefined ? undefined : parseReward('--fail-under', flags.failUnder)
  const options = parseOptions(flags, context)
  const following = { jobsDir: flags.jobsDir, json: flags.json === true, detach: flags.detach === true, failUnder }
  const launch = async () => (await import('../../client/regrade-job.ts')).regradeJob(parent, options)
  return await launchAndFollow(launch, following, context)
}

function parseOptions(flags: RegradeFlags, { environment, stderr }: CommandContext) {
  const { tests, job, concurrency, requireIntegrity } = flags
  return {
    ...(tests === undefined ? {} : { tests }),
    ...(job === undefined ? {} : { job: parseJobId(job) }),
    ...(concurrency === undefined ? {} : { concurrency: parseCount('--concurrency', concurrency, { max: 10_000 }) }),
    ...(requireIntegrity === undefined
      ? {}
      : { requireIntegrity: parseChoice('--require-integrity', requireIntegrity, integrityClasses) }),
    worker: flags.worker ? ('own' as const) : ('shared' as const),
    environment,
    onProgress: (line: string) => stderr.write(`${line}\n`),
  }
}
