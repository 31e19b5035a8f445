import { resolve } from 'node:path'
import type { Command } from 'commander'
import { AgentCollector } from '../agent-options.ts'
import type { Job } from '../../client/index.ts'
import type { CommandContext } from '../context.ts'
import { exitCodes } from '../exit-codes.ts'
import { comeBack, followJob } from '../follow-job.ts'
import { leaveOnInterrupt } from '../leave-on-interrupt.ts'
import { askForConsent } from '../ask-for-consent.ts'
import type { JobFile } from '../job-file.ts'
import { parseReward } from '../parse-values.ts'
import {
  defaultJobsDir,
  effectiveConfig,
  printedConfig,
  providerName,
  readConfig,
  runOptionsOf,
  selectionOf,
} from '../run-config.ts'
import { parseRunOptions } from '../run-options.ts'
import type { RawRunOptions } from '../run-options.ts'
import type { CommandHost } from '../run-cli.ts'
import { RollcallError } from '../../protocol/failure.ts'
import { proveWritableFolder } from '../../store/writable-folder.ts'
import { addProviderOptions, repeatable } from './command-options.ts'

interface RunFlags extends RawRunOptions {
  readonly config?: string
  readonly runtimeFile?: string
  readonly printConfig?: boolean
  readonly failUnder?: string
}

export function defineRun(program: Command, host: CommandHost): void {
  const agents = new AgentCollector()
  const command = program
    .command('run')
    .argument('[taskset]', 'directory of tasks, one task, or a file of tasks (.jsonl, .yaml, .toml, .ts)')
    .description('Runs every task of a taskset with every agent, and prints the table of grades.')
  addProviderOptions(command)
  addAgentOptions(command, agents)
  addJobOptions(command)
  addSelectionOptions(command)
  addRuntimeOptions(command)
  addLimitOptions(command)
  command
    .addHelpText('after', examples)
    .action(async (taskset: string | undefined) =>
      host.exitWith(await run({ taskset, flags: givenFlags(command), agents }, host.context)),
    )
}

export function addAgentOptions(command: Command, agents: AgentCollector): void {
  command
    .option('--agent <name>', 'oracle, nop, script, command, model or ./file.ts#export; repeatable (default oracle)')
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
    .option('-k, --attempts <n>', 'rollouts per task and agent (default 1)')
    .option('-n, --concurrency <n>', 'rollouts at the same time (default 4)')
    .option('-c, --config <file>', 'options out of a YAML or JSON file, or the config.json of an exported job')
    .option('--print-config', 'print what it would run with, as such a file, and end')
    .option('--job <id>', 'name of the job; the same id with the same options comes back to it')
    .option('--jobs-dir <dir>', 'where results are exported as they come (default jobs)')
    .addOption(repeatable('--image-map <from=to>', 'use image TO wherever a task says FROM'))
    .option('--no-worker', 'start no worker: `rollcall worker` runs elsewhere')
    .option('--detach', 'start the job and return at once')
    .option('--json', 'one JSON object per line: events, last the summary')
    .option('--fail-under <mean>', 'exit code 1 when the mean is below this, or nothing was graded')
}

function addSelectionOptions(command: Command): void {
  command
    .addOption(repeatable('--include <glob>', 'only tasks whose name matches'))
    .addOption(repeatable('--exclude <glob>', 'no tasks whose name matches'))
    .addOption(repeatable('--where <key=value>', 'only tasks with that metadata; a key given twice: any of the values'))
    .option('--shuffle', 'in an order that --seed decides')
    .option('--seed <n>', 'for --shuffle (default 0); the same order on every machine')
    .option('--limit <n>', 'only the first tasks that are left')
}

export function addRuntimeOptions(command: Command): void {
  command
    .option('--cpus <n>', 'CPUs per sandbox, instead of what tasks say')
    .option('--memory <size>', 'memory per sandbox, instead of what tasks say: 512M, 2G')
    .option('--gpus <n>', 'GPUs per sandbox, instead of what tasks say')
    .option('--image <name>', 'image of all sandboxes, instead of what tasks say')
    .option('--runtime-file <file>', 'a runtime in YAML or JSON, over what tasks say; null clears')
    .addOption(repeatable('--allow-env <name>', 'tasks may have this variable of the host where they say ${NAME}'))
    .option('-y, --yes', 'tasks may have every variable of the host that they ask for')
}

export function addLimitOptions(command: Command): void {
  command
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
    .option('--require-integrity <class>', 'a grade of a weaker class fails: separate, non-root, clean, live (any)')
    .option('--keep <when>', 'keep sandboxes for a look inside: never, on-failure or always (default never)')
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

/** What was given: what commander fills in by itself must not go over a job file. */
function givenFlags(command: Command): RunFlags {
  const given = Object.entries(command.opts()).filter(([name]) => command.getOptionValueSource(name) !== 'default')
  return Object.fromEntries(given)
}

async function run(
  { taskset, flags, agents }: { taskset: string | undefined; flags: RunFlags; agents: AgentCollector },
  context: CommandContext,
): Promise<number> {
  const config = await configOf({ taskset, flags, agents })
  const failUnder = flags.failUnder === undefined ? undefined : parseReward('--fail-under', flags.failUnder)
  if (flags.printConfig) {
    context.stdout.write(printedConfig(config))
    return exitCodes.ok
  }
  const { jobsDir = defaultJobsDir, detach: isDetached = false, json = false } = config
  await proveWritableFolder('--jobs-dir', resolve(jobsDir))
  const job = await leaveOnInterrupt(() => startRun(config, context), context)
  if (job === undefined) return exitCodes.interrupted
  try {
    announce(job, context)
    if (isDetached) return detach(job, { json }, context)
    return await followJob({ job, json, jobsDir, onInterrupt: 'cancel', failUnder }, context)
  } finally {
    await job.close()
  }
}

async function configOf(line: {
  taskset: string | undefined
  flags: RunFlags
  agents: AgentCollector
}): Promise<JobFile> {
  const { taskset, flags } = line
  const file = await readConfig(flags.config)
  const [agents, provider] = [line.agents.options(), providerName(file)]
  const parsed = parseRunOptions(flags, {
    ...(agents === undefined ? {} : { agents }),
    ...(provider === undefined ? {} : { provider }),
  })
  return await effectiveConfig({
    file,
    flags: { ...parsed, ...(taskset === undefined ? {} : { taskset }) },
    ...(flags.runtimeFile === undefined ? {} : { runtimeFile: flags.runtimeFile }),
  })
}

async function startRun(config: JobFile, context: CommandContext): Promise<Job> {
  const { environment, stderr } = context
  const { Taskset } = await import('../../client/index.ts')
  const { taskset } = config
  if (taskset === undefined) {
    throw new RollcallError(
      'configuration-invalid',
      'No taskset is named: rollcall run TASKSET, or taskset in the file',
    )
  }
  const loaded =
    typeof taskset === 'string'
      ? await Taskset.load(taskset, { environment })
      : await Taskset.restore(taskset, { environment })
  const selected = loaded.select(selectionOf(config))
  const options = runOptionsOf(config)
  const allowEnv = await askForConsent(selected.askedVariables(options), options.allowEnv, context)
  const onProgress = (line: string) => stderr.write(`${line}\n`)
  return await selected.run({ ...options, ...(allowEnv === undefined ? {} : { allowEnv }), environment, onProgress })
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
