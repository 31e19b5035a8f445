import type { Command } from 'commander'
import { AgentCollector } from '../agent-options.ts'
import type { Job } from '../../client/index.ts'
import type { CommandContext } from '../context.ts'
import { exitCodes } from '../exit-codes.ts'
import { launchAndFollow } from '../launch-and-follow.ts'
import type { JobFile } from '../job-file.ts'
import { addRunOptions, configOf, givenFlags, loadRun } from '../run-command.ts'
import type { RunFlags } from '../run-command.ts'
import { defaultJobsDir } from '../run-options.ts'
import type { CommandHost } from '../run-cli.ts'

interface RunCommandFlags extends RunFlags {
  readonly printConfig?: boolean
}

export function defineRun(program: Command, host: CommandHost): void {
  const agents = new AgentCollector()
  const command = program
    .command('run')
    .argument('[taskset]', 'directory of tasks, one task, or a file of tasks (.jsonl, .yaml, .toml, .ts)')
    .description('Runs every task of a taskset with every agent, and prints the table of grades.')
  addRunOptions(command, agents)
  addJobOptions(command)
  command
    .addHelpText('after', examples)
    .action(async (taskset: string | undefined, flags: RunCommandFlags) =>
      host.exitWith(await run({ taskset, flags: givenFlags(command, flags), agents }, host.context)),
    )
}

function addJobOptions(command: Command): void {
  command
    .option('--print-config', 'print what it would run with, as a file for -c, and end')
    .option('--job <id>', 'name of the job; the same id with the same options comes back to it')
    .option('--jobs-dir <dir>', 'where results are exported as they come (default jobs)')
    .option('--no-worker', 'start no worker: `rollcall worker` runs elsewhere')
    .option('--detach', 'start the job and return at once')
    .option('--json', 'one JSON object per line: events, last the summary')
    .option('--fail-under <mean>', 'exit code 1 when the mean is below this, or nothing was graded')
}

const examples = `
Examples:
  rollcall run examples/tasks --provider local
  rollcall run tasks --agent oracle -k 2 -n 4 --job nightly-7 --jobs-dir results
  rollcall run tasks --agent script --agent-arg file=turns.yaml
  rollcall run tasks --agent model --model anthropic/NAME --max-turns 50
  rollcall run tasks --agent ./my-agent.ts#agent --agent nop        two agents in one job
  rollcall run tasks.yaml --include 'edit-*' --where difficulty=hard --shuffle --seed 7 --limit 20
  rollcall run -c nightly.yaml --attempts 5
  rollcall run -c jobs/JOB/config.json                              the same job anew
  rollcall run tasks --detach --json

Ctrl-C (or SIGTERM) asks the job to cancel and waits until its sandboxes are removed; a second one leaves it running.
`

async function run(
  { taskset, flags, agents }: { taskset: string | undefined; flags: RunCommandFlags; agents: AgentCollector },
  context: CommandContext,
): Promise<number> {
  const config = await configOf({ taskset, flags, agents })
  if (flags.printConfig) {
    const { printedConfig } = await import('../run-config.ts')
    context.stdout.write(printedConfig(config))
    return exitCodes.ok
  }
  const { jobsDir = defaultJobsDir, detach: isDetached = false, json = false, failUnder } = config
  const following = { jobsDir, json, detach: isDetached, failUnder }
  return await launchAndFollow(() => startRun(config, context), following, context)
}

async function startRun(config: JobFile, context: CommandContext): Promise<Job> {
  const { environment, stderr } = context
  const { taskset, options } = await loadRun(config, context)
  return await taskset.run({ ...options, environment, onProgress: (line) => stderr.write(`${line}\n`) })
}
