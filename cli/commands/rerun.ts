import type { Command } from 'commander'
import { RollcallError } from '../../protocol/failure.ts'
import type { CommandContext } from '../context.ts'
import { launchAndFollow } from '../launch-and-follow.ts'
import { parseCount, parseReward } from '../parse-values.ts'
import type { CommandHost } from '../run-cli.ts'
import { parseJobId } from '../run-options.ts'

interface RerunFlags {
  readonly failed?: boolean
  readonly job?: string
  readonly concurrency?: string
  readonly jobsDir: string
  readonly worker: boolean
  readonly detach?: boolean
  readonly json?: boolean
  readonly failUnder?: string
}

export function defineRerun(program: Command, host: CommandHost): void {
  program
    .command('rerun')
    .argument('<job>', 'id of a job that is over')
    .argument('[rollouts...]', 'rollouts of it, as TASK.AGENT.ATTEMPT')
    .option('--failed', 'all of its rollouts that failed or were cancelled')
    .option('-n, --concurrency <n>', 'rollouts at the same time; default: as before')
    .option('--job <id>', 'name of the new job (default: JOB-r1, JOB-r2, …)')
    .option('--jobs-dir <dir>', 'where results are exported as they come', 'jobs')
    .option('--no-worker', 'start no worker: `rollcall worker` runs elsewhere')
    .option('--detach', 'start the job and return at once')
    .option('--json', 'one JSON object per line: events, last the summary')
    .option('--fail-under <mean>', 'exit code 1 when the mean is below this, or nothing was graded')
    .description('Runs rollouts of an earlier job again, as a new job with the same tasks, agents and options.')
    .addHelpText(
      'after',
      '\nExamples:\n  rollcall rerun nightly-7 --failed\n  rollcall rerun nightly-7 hello.oracle.1 --job again\n',
    )
    .action(async (id: string, rollouts: string[], flags: RerunFlags) =>
      host.exitWith(await rerun({ id, rollouts, flags }, host.context)),
    )
}

async function rerun(
  { id, rollouts, flags }: { id: string; rollouts: readonly string[]; flags: RerunFlags },
  context: CommandContext,
): Promise<number> {
  const parent = parseJobId(id)
  const failUnder = flags.failUnder === undefined ? undefined : parseReward('--fail-under', flags.failUnder)
  const options = {
    ...whichOf(rollouts, flags),
    ...(flags.job === undefined ? {} : { job: parseJobId(flags.job) }),
    ...(flags.concurrency === undefined
      ? {}
      : { concurrency: parseCount('--concurrency', flags.concurrency, { max: 10_000 }) }),
    worker: flags.worker ? ('own' as const) : ('shared' as const),
    environment: context.environment,
    onProgress: (line: string) => context.stderr.write(`${line}\n`),
  }
  const following = { jobsDir: flags.jobsDir, json: flags.json === true, detach: flags.detach === true, failUnder }
  const launch = async () => (await import('../../client/rerun-job.ts')).rerunJob(parent, options)
  return await launchAndFollow(launch, following, context)
}

/** @throws RollcallError `configuration-invalid` unless it is one of the two */
function whichOf(rollouts: readonly string[], { failed }: RerunFlags): { rollouts?: readonly string[] } {
  const isAll = failed === true
  if (isAll !== rollouts.length > 0) return isAll ? {} : { rollouts }
  throw new RollcallError(
    'configuration-invalid',
    'What is to run again: expected either --failed or rollouts by name (TASK.AGENT.ATTEMPT)',
  )
}
