import type { Command } from 'commander'
import type { CommandContext } from '../context.ts'
import { exitCodes } from '../exit-codes.ts'
import type { CommandHost } from '../run-cli.ts'

export function defineCompare(program: Command, host: CommandHost): void {
  program
    .command('compare')
    .argument('<a>', 'a job: its id, the folder of an exported job, or of one that Harbor has run')
    .argument('<b>', 'the job to compare with it')
    .option('--json', 'as one JSON object')
    .description('Compares two jobs task by task, regressions first: paired difference, interval and significance.')
    .addHelpText('after', help)
    .action(async (a: string, b: string, flags: { json?: boolean }) =>
      host.exitWith(await compare({ a, b, json: flags.json === true }, host.context)),
    )
}

const help = `
Examples:
  rollcall compare nightly-6 nightly-7
  rollcall compare nightly-7:oracle nightly-7:nop        two agents of one job
  rollcall compare ~/harbor/jobs/2026-01-02__03-04-05 nightly-7 --json

Rollouts without a reward are counted apart and are no part of any mean. A task whose files differ is shown as changed,
not as a regression. The exit code is 0 whatever the comparison says.
`

async function compare(
  { a, b, json }: { a: string; b: string; json: boolean },
  { environment, stdout }: CommandContext,
): Promise<number> {
  const [{ openStore }, { readComparedJob }, { compareJobs }, { formatComparison }] = await Promise.all([
    import('../../store/open-store.ts'),
    import('../../results/compared-job.ts'),
    import('../../results/comparison.ts'),
    import('../../results/comparison-table.ts'),
  ])
  const store = openStore(environment.storeUrl)
  const comparison = compareJobs(await readComparedJob(store, a), await readComparedJob(store, b))
  stdout.write(`${json ? JSON.stringify(comparison) : formatComparison(comparison, { color: stdout.color })}\n`)
  return exitCodes.ok
}
