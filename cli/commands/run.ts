import { resolve } from 'node:path'
import type { Command } from 'commander'
import { AgentCollector } from '../agent-options.ts'
import type { Job } from '../../client/index.ts'
import type { CommandContext } from '../context.ts'
import { exitCodes } from '../exit-codes.ts'
import { comeBack, followJob } from '../follow-job.ts'
import { leaveOnInterrupt } from '../leave-on-interrupt.ts'
import { parseReward } from '../parse-values.ts'
import { parseRunOptions } from '../run-options.ts'
import type { RawRunOptions } from '../run-options.ts'
import type { CommandHost } from '../run-cli.ts'
import { proveWritableFolder } from '../../store/writable-folder.ts'
import { addProviderOptions, repeatable } from './command-options.ts'

interface RunFlags extends RawRunOptions {
  readonly jobsDir: string
  readonly detach?: boolean
  readonly json?: boolean
  readonly failUnder?: string
}

export function defineRun(program: Command, host: CommandHost): void {
  const agents = new AgentCollector()
  const command = program
    .command('run')
    .argument('<taskset>', 'directory of Harbor tasks, or one task')
    .description('Runs every task of a taskset with every agent, and prints the table of grades.')
  addProviderOptions(command)
  addAgentOptions(command, agents)
  addJobOptions(command)
  addLimitOptions(command)
  command
    .addHelpText('after', examples)
    .action(async (taskset: string, flags: RunFlags) =>
      host.exitWith(await run({ taskset, flags, agents }, host.context)),
    )
}

export function addAgentOptions(command: Command, agents: AgentCollector): void {
  command
    .option('--agent <name>', 'oracle, nop, script, command, model or ./file.ts#export; repeatable (default: oracle)')
    .option('--agent-arg <key=value>', 'an argument of the agent before it (repeatable)')
    .option('--model <name>', 'model of the agent before it: openai/…, anthropic/… or openai-compatible/…')
    .option('--agent-label <name>', 'name of the agent before it in results, where one agent runs twice')
    .on('option:agent', (value: string) => agents.addAgent(value))
    .on('option:agent-arg', (value: string) => agents.addArgument(value))
    .on('option:model', (value: string) => agents.setModel(value))
    .on('option:agent-label', (value: string) => agents.setLabel(value))
}

function addJobOptions(command: Command): void {
  command
    .option('-k, --attempts <n>', 'rollouts per task and agent', '1')
    .option('-n, --concurrency <n>', 'rollouts at the same time', '4')
    .option('--job <id>', 'name of the job; the same id with the same options comes back to it')
    .option('--jobs-dir <dir>', 'where results are exported as they come', 'jobs')
    .addOption(repeatable('--image-map <from=to>', 'use image TO wherever a task says FROM'))
    .option('--no-worker', 'start no worker: `rollcall worker` runs elsewhere')
    .option('--detach', 'start the job and return at once')
    .option('--json', 'one JSON object per line: events, last the summary')
    .option('--fail-under <mean>', 'exit code 1 when the mean is below this, or nothing was graded')
}

export function addLimitOptions(command: Command): void {
  command
    .option('--cpus <n>', 'CPUs per sandbox, instead of what tasks say')
    .option('--memory <size>', 'memory per sandbox, instead of what tasks say: 512M, 2G')
    .option('--max-turns <n>', 'turns per rollout (default 200)')
    .option('--max-tokens <n>', 'input and output tokens per rollout, where the agent reports them')
    .option('--agent-timeout <time>', 'for tasks that state none: 90s, 15m (default 1h)')
    .option('--timeout-multiplier <number>', 'of all time limits of tasks; those for one phase go before it')
    .option('--agent-timeout-multiplier <number>', 'of the agent’s time limit')
    .option('--verifier-timeout-multiplier <number>', 'of the tests’ time limit')
    .option('--agent-setup-timeout-multiplier <number>', 'of the time for installing the agent')
    .option('--environment-build-timeout-multiplier <number>', 'of the time for building and starting the sandbox')
    .option('--ignore-docker-image', 'build the Dockerfile also where the task names an image')
    .option('--sandbox-loss <policy>', 'when a sandbox dies: restart the rollout in a new one, or fail (default fail)')
    .option(
      '--host-timeout <duration>',
      'with --no-worker only: a host that answers nothing this long is lost (default 2m)',
    )
    .option('--keep <when>', 'keep sandboxes for a look inside: never, on-failure or always (default never)')
}

const examples = `
Examples:
  rollcall run examples/tasks --provider local
  rollcall run tasks --agent oracle -k 2 -n 4 --job nightly-7 --jobs-dir results
  rollcall run tasks --agent script --agent-arg file=turns.yaml
  rollcall run tasks --agent model --model anthropic/NAME --max-turns 50
  rollcall run tasks --agent ./my-agent.ts#agent --agent nop        two agents in one job
  rollcall run tasks --detach --json

Ctrl-C (or SIGTERM) asks the job to cancel and waits until its sandboxes are removed; a second one leaves it running.
`

async function run(
  { taskset, flags, agents }: { taskset: string; flags: RunFlags; agents: AgentCollector },
  context: CommandContext,
): Promise<number> {
  const options = parseRunOptions(flags, agents.options())
  const failUnder = flags.failUnder === undefined ? undefined : parseReward('--fail-under', flags.failUnder)
  await proveWritableFolder('--jobs-dir', resolve(flags.jobsDir))
  const { environment, stderr } = context
  const onProgress = (line: string) => stderr.write(`${line}\n`)
  const starting = async () => {
    const { Taskset } = await import('../../client/index.ts')
    const loaded = await Taskset.load(taskset)
    return await loaded.run({ ...options, environment, onProgress })
  }
  const job = await leaveOnInterrupt(starting, context)
  if (job === undefined) return exitCodes.interrupted
  try {
    announce(job, context)
    if (flags.detach) return detach(job, { json: flags.json === true }, context)
    const following = {
      job,
      json: flags.json === true,
      jobsDir: flags.jobsDir,
      onInterrupt: 'cancel',
      failUnder,
    } as const
    return await followJob(following, context)
  } finally {
    await job.close()
  }
}

export function announce(job: Job, { stderr }: CommandContext): void {
  // Whether it can start, planning will tell: the display says so.
  const what = job.attached ? 'was started before, coming back to it' : 'is being planned'
  stderr.write(`Job ${job.id} ${what}${job.uiUrl === undefined ? '' : `: ${job.uiUrl}`}\n`)
}

export function detach(job: Job, { json }: { json: boolean }, { stdout, stderr }: CommandContext): number {
  stderr.write(`${comeBack(job.id)}\n`)
  const detached = { type: 'detached', job: job.id, ...(job.uiUrl === undefined ? {} : { ui: job.uiUrl }) }
  stdout.write(json ? `${JSON.stringify(detached)}\n` : `${job.id}\n`)
  return exitCodes.ok
}
