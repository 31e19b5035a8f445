import type { Command } from 'commander'
import type { Job } from '../../client/index.ts'
import type { CommandContext } from '../context.ts'
import { exitCodes } from '../exit-codes.ts'
import { followJob } from '../follow-job.ts'
import { leaveOnInterrupt } from '../leave-on-interrupt.ts'
import { parseCount, parsePairs } from '../parse-values.ts'
import type { CommandHost } from '../run-cli.ts'
import { parseProvider } from '../run-options.ts'
import { formatSoundness, judgeSoundness } from '../soundness.ts'
import { addProviderOptions, repeatable } from './command-options.ts'
import type { ProviderFlags } from './command-options.ts'

interface ValidateFlags extends ProviderFlags {
  readonly run?: boolean
  readonly concurrency: string
  readonly imageMap: readonly string[]
}

export function defineValidate(program: Command, host: CommandHost): void {
  const command = program
    .command('validate')
    .argument('<taskset>', 'directory of Harbor tasks, or one task')
    .description('Checks tasks: all problems of all tasks at once. With --run also that they tell good from bad.')
    .option('--run', 'run them: oracle must get 1 and nop must get 0')
  addProviderOptions(command)
    .option('-n, --concurrency <n>', 'rollouts at the same time', '4')
    .addOption(repeatable('--image-map <from=to>', 'use image TO wherever a task says FROM'))
    .addHelpText('after', '\nExamples:\n  rollcall validate tasks\n  rollcall validate tasks --run --provider local\n')
    .action(async (taskset: string, flags: ValidateFlags) => {
      const check = flags.run ? validateByRunning : validate
      host.exitWith(await check(taskset, flags, host.context))
    })
}

async function validate(path: string, _: ValidateFlags, { stdout }: CommandContext): Promise<number> {
  const { loadTaskset } = await import('../../tasks/load-taskset.ts')
  const { tasks } = await loadTaskset(path)
  stdout.write(`${tasks.length} ${tasks.length === 1 ? 'task is' : 'tasks are'} valid. --run also runs them.\n`)
  return exitCodes.ok
}

async function validateByRunning(path: string, flags: ValidateFlags, context: CommandContext): Promise<number> {
  const options = {
    agent: ['oracle', 'nop'],
    provider: parseProvider(flags),
    concurrency: parseCount('--concurrency', flags.concurrency, { max: 10_000 }),
    imageMap: parsePairs('--image-map', flags.imageMap, 'FROM=TO, two image names'),
    environment: context.environment,
    onProgress: (line: string) => context.stderr.write(`${line}\n`),
  }
  const starting = async () => (await (await import('../../client/index.ts')).Taskset.load(path)).run(options)
  const job = await leaveOnInterrupt(starting, context)
  if (job === undefined) return exitCodes.interrupted
  try {
    return await followAndJudge(job, context)
  } finally {
    await job.close()
  }
}

async function followAndJudge(job: Job, context: CommandContext): Promise<number> {
  const followed = await followJob({ job, json: false, onInterrupt: 'cancel' }, context)
  if (followed === exitCodes.interrupted) return followed
  const judged = judgeSoundness(await job.result())
  context.stdout.write(`\n${formatSoundness(judged)}\n`)
  return judged.every((task) => task.problems.length === 0) ? exitCodes.ok : exitCodes.failed
}
