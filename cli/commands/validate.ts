import type { Command } from 'commander'
import type { ClientEnvironment } from '../../client/index.ts'
import type { CommandContext } from '../context.ts'
import { exitCodes } from '../exit-codes.ts'
import { leaveOnInterrupt } from '../leave-on-interrupt.ts'
import { parseCount, parsePairs } from '../parse-values.ts'
import type { CommandHost } from '../run-cli.ts'
import { parseProvider } from '../run-options.ts'
import type { TaskSoundness } from '../soundness.ts'
import { addProviderOptions, repeatable } from './command-options.ts'
import type { ProviderFlags } from './command-options.ts'

interface ValidateFlags extends ProviderFlags {
  readonly run?: boolean
  readonly concurrency: string
  readonly imageMap: readonly string[]
  readonly include: readonly string[]
  readonly exclude: readonly string[]
  readonly allowEnv: readonly string[]
  readonly yes?: boolean
}

export function defineValidate(program: Command, host: CommandHost): void {
  const command = program
    .command('validate')
    .argument('<taskset>', 'directory of tasks, one task, or a file of tasks (.jsonl, .yaml, .toml, .ts)')
    .description('Checks tasks: all problems of all tasks at once. With --run also that they tell good from bad.')
    .option('--run', 'run them: oracle must get 1 and nop must get 0')
  addProviderOptions(command)
    .option('-n, --concurrency <n>', 'rollouts at the same time', '4')
    .addOption(repeatable('--include <glob>', 'only tasks whose name matches'))
    .addOption(repeatable('--exclude <glob>', 'no tasks whose name matches'))
    .addOption(repeatable('--allow-env <name>', 'tasks may have this variable of the host where they say ${NAME}'))
    .option('-y, --yes', 'tasks may have every variable of the host that they ask for')
    .addOption(repeatable('--image-map <from=to>', 'use image TO wherever a task says FROM'))
    .addHelpText('after', '\nExamples:\n  rollcall validate tasks\n  rollcall validate tasks --run --provider local\n')
    .action(async (taskset: string, flags: ValidateFlags) => {
      const check = flags.run ? validateByRunning : validate
      host.exitWith(await check(taskset, flags, host.context))
    })
}

async function validate(path: string, flags: ValidateFlags, { stdout, environment }: CommandContext): Promise<number> {
  const { describeAsked } = await import('../../client/host-consent.ts')
  const selected = await load(path, flags, environment)
  const { length } = selected.tasks
  stdout.write(`${length} ${length === 1 ? 'task is' : 'tasks are'} valid. --run also runs them.\n`)
  const asked = selected.askedVariables()
  if (asked.length > 0) stdout.write(`Variables of the host that they ask for:\n${describeAsked(asked).join('\n')}\n`)
  return exitCodes.ok
}

async function load(path: string, { include, exclude }: ValidateFlags, environment: ClientEnvironment) {
  const { Taskset } = await import('../../client/taskset.ts')
  return (await Taskset.load(path, { environment })).select({ include: [...include], exclude: [...exclude] })
}

async function validateByRunning(path: string, flags: ValidateFlags, context: CommandContext): Promise<number> {
  const options = {
    agent: ['oracle', 'nop'],
    provider: parseProvider(flags),
    concurrency: parseCount('--concurrency', flags.concurrency, { max: 10_000 }),
    imageMap: parsePairs('--image-map', flags.imageMap, 'FROM=TO, two image names'),
    allowEnv: flags.yes ? ('all' as const) : flags.allowEnv,
    environment: context.environment,
    onProgress: (line: string) => context.stderr.write(`${line}\n`),
  }
  const [taskset, { hasSolution }, { followJob }, { judgeSoundness, unsolvedTasks }] = await Promise.all([
    load(path, flags, context.environment),
    import('../../tasks/task-parts.ts'),
    import('../follow-job.ts'),
    import('../soundness.ts'),
  ])
  const unsolved = unsolvedTasks(taskset.tasks)
  if (unsolved.length === taskset.tasks.length) return await printSoundness(unsolved, context)
  const job = await leaveOnInterrupt(() => taskset.filter(hasSolution).run(options), context)
  if (job === undefined) return exitCodes.interrupted
  try {
    const followed = await followJob({ job, json: false, onInterrupt: 'cancel' }, context)
    if (followed === exitCodes.interrupted) return followed
    return await printSoundness([...judgeSoundness(await job.result()), ...unsolved], context)
  } finally {
    await job.close()
  }
}

async function printSoundness(judged: readonly TaskSoundness[], { stdout }: CommandContext): Promise<number> {
  const { formatSoundness } = await import('../soundness.ts')
  stdout.write(`\n${formatSoundness(judged)}\n`)
  return judged.every((task) => task.problems.length === 0) ? exitCodes.ok : exitCodes.failed
}
