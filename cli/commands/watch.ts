import type { Command } from 'commander'
import { attachedJob } from '../attached-job.ts'
import { parseReward } from '../parse-values.ts'
import type { CommandHost } from '../run-cli.ts'

export function defineWatch(program: Command, host: CommandHost): void {
  program
    .command('watch')
    .argument('<job>', 'id of the job')
    .description('Comes back to a job: shows its progress until it has ended, then its grades.')
    .option('--jobs-dir <dir>', 'export results there as they come')
    .option('--json', 'one JSON object per line: events, last the summary')
    .option('--fail-under <mean>', 'exit code 1 when the mean is below this, or nothing was graded')
    .addHelpText('after', '\nExample:\n  rollcall watch nightly-7\n\nCtrl-C stops watching; the job runs on.\n')
    .action(async (id: string, flags: { jobsDir?: string; json?: boolean; failUnder?: string }) => {
      const { context } = host
      const { followJob } = await import('../follow-job.ts')
      const { jobsDir } = flags
      const failUnder = flags.failUnder === undefined ? undefined : parseReward('--fail-under', flags.failUnder)
      const following = {
        json: flags.json === true,
        onInterrupt: 'leave',
        failUnder,
        ...(jobsDir ? { jobsDir } : {}),
      } as const
      host.exitWith(
        await attachedJob({ id, worker: 'own' }, context, (job) => followJob({ job, ...following }, context)),
      )
    })
}
