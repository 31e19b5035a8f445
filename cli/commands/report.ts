import { stat } from 'node:fs/promises'
import { join, resolve } from 'node:path'
import type { Command } from 'commander'
import { RollcallError } from '../../protocol/failure.ts'
import type { JobReport } from '../../results/report/job-report.ts'
import type { CommandContext } from '../context.ts'
import { exitCodes } from '../exit-codes.ts'
import { parseReward } from '../parse-values.ts'
import type { CommandHost } from '../run-cli.ts'
import { parseJobId } from '../run-options.ts'

interface ReportFlags {
  readonly output?: string
  readonly passReward?: string
}

export function defineReport(program: Command, host: CommandHost): void {
  program
    .command('report')
    .argument('<job>', 'id of the job')
    .option(
      '-o, --output <file>',
      'where to write it; - is stdout; a file that is there is replaced (default: JOB.html)',
    )
    .option('--pass-reward <reward>', 'the reward from which a rollout counts as passed (default 1)')
    .description('Makes one HTML file out of a job: numbers, plots, every rollout with its trace. It needs no network.')
    .addHelpText(
      'after',
      '\nExamples:\n  rollcall report nightly-7\n  rollcall report nightly-7 -o public/index.html\n',
    )
    .action(async (id: string, flags: ReportFlags) => host.exitWith(await report(id, flags, host.context)))
}

async function report(id: string, { output, passReward }: ReportFlags, context: CommandContext): Promise<number> {
  const job = parseJobId(id)
  const options = passReward === undefined ? {} : { passReward: parseReward('--pass-reward', passReward) }
  const path = output === '-' ? undefined : resolve(output ?? `${job}.html`)
  if (path !== undefined) await refuseFolder(path, job)
  const [{ openStore }, { jobReport }, { writeOutput }] = await Promise.all([
    import('../../store/open-store.ts'),
    import('../../results/report/job-report.ts'),
    import('../write-output.ts'),
  ])
  const made = await jobReport(openStore(context.environment.storeUrl), job, options)
  for (const note of notes(job, made)) context.stderr.write(`${note}\n`)
  if (path === undefined) {
    context.stdout.write(made.html)
  } else {
    await writeOutput('-o', path, made.html)
    context.stdout.write(`${path}\n`)
  }
  return exitCodes.ok
}

async function refuseFolder(path: string, job: string): Promise<void> {
  const there = await stat(path).catch(() => undefined)
  if (!there?.isDirectory()) return
  const example = join(path, `${job}.html`)
  throw new RollcallError('configuration-invalid', `-o is ${JSON.stringify(path)}: expected a file such as ${example}`)
}

function notes(job: string, { finished, unlisted, cutTraces, rollouts }: JobReport): string[] {
  return [
    ...(finished
      ? []
      : [`Job ${job} has not ended, or was terminated: these are the rollouts that have ended so far.`]),
    ...(unlisted === 0 ? [] : [`${unlisted} of ${rollouts} rollouts are not listed, so that the file opens.`]),
    ...(cutTraces === 0
      ? []
      : [
          `The traces of ${cutTraces} rollouts are not whole, so that the file opens; rollcall results ${job} --jobs-dir DIR has all.`,
        ]),
  ]
}
