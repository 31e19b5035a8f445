import type { Command } from 'commander'
import { RollcallError } from '../protocol/failure.ts'
import type { RunOptions, Taskset } from '../client/index.ts'
import type { AgentCollector } from './agent-options.ts'
import { askForConsent } from './ask-for-consent.ts'
import { addProviderOptions, repeatable } from './commands/command-options.ts'
import type { CommandContext } from './context.ts'
import type { JobFile } from './job-file.ts'
import { parseRunOptions } from './run-options.ts'
import type { RawRunOptions } from './run-options.ts'

/** What `run` and `schedule create` have in common: the options that say what a job is, and what becomes of them. */

export interface RunFlags extends RawRunOptions {
  readonly config?: string
  readonly runtimeFile?: string
}

/** Every option that says what a job is, on a command. */
export function addRunOptions(command: Command, agents: AgentCollector): void {
  addProviderOptions(command)
  command.option('--node <name>', 'where, by the name of a node or by what it must have: gpus>=1,vram>=40')
  addAgentOptions(command, agents)
  addSizeOptions(command)
  addSelectionOptions(command)
  addRuntimeOptions(command)
  addLimitOptions(command)
}

function addAgentOptions(command: Command, agents: AgentCollector): void {
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

function addSizeOptions(command: Command): void {
  command
    .option('-k, --attempts <n>', 'rollouts per task and agent (default 1)')
    .option('-n, --concurrency <n>', 'rollouts at the same time (default 4)')
    .option('--pool <profile>', 'take sandboxes out of the pool of this profile, which is started if it does not run')
    .option('--profiles <file>', 'profiles in YAML (default: ROLLCALL_PROFILES_FILE, or Atropos’ variables)')
    .option('--pool-name <name>', 'keeps pools of the same profile apart (default default)')
    .option('-c, --config <file>', 'options out of a YAML or JSON file, or the config.json of an exported job')
    .addOption(repeatable('--image-map <from=to>', 'use image TO wherever a task says FROM'))
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

function addRuntimeOptions(command: Command): void {
  command
    .option('--cpus <n>', 'CPUs per sandbox, instead of what tasks say')
    .option('--memory <size>', 'memory per sandbox, instead of what tasks say: 512M, 2G')
    .option('--gpus <n>', 'GPUs per sandbox, instead of what tasks say')
    .option('--image <name>', 'image of all sandboxes, instead of what tasks say')
    .option('--runtime-file <file>', 'a runtime in YAML or JSON, over what tasks say; null clears')
    .addOption(repeatable('--allow-env <name>', 'tasks may have this variable of the host where they say ${NAME}'))
    .option('-y, --yes', 'tasks may have every variable of the host that they ask for')
}

function addLimitOptions(command: Command): void {
  command
    .addOption(repeatable('--tools <file>', 'a file that exports tools of your own, for the agents'))
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

/** What was given: what commander fills in by itself must not go over a job file. */
export function givenFlags<Flags extends object>(command: Command, flags: Flags): Flags {
  const given = Object.entries(flags).filter(([name]) => command.getOptionValueSource(name) !== 'default')
  return Object.fromEntries(given) as Flags
}

/** The command line over the file that it names. */
export async function configOf(line: {
  taskset: string | undefined
  flags: RunFlags
  agents: AgentCollector
}): Promise<JobFile> {
  const { effectiveConfig, providerName, readConfig } = await import('./run-config.ts')
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

/**
 * The taskset of a configuration, selected, and the options to run it with. Where it asks for variables of the host
 * without consent, a person is asked.
 */
export async function loadRun(
  config: JobFile,
  context: CommandContext,
): Promise<{ taskset: Taskset; options: RunOptions }> {
  const { environment } = context
  const [{ Taskset: tasksets }, { runOptionsOf, selectionOf }] = await Promise.all([
    import('../client/taskset.ts'),
    import('./run-config.ts'),
  ])
  const { taskset: named } = config
  if (named === undefined) {
    throw new RollcallError(
      'configuration-invalid',
      'No taskset is named: rollcall run TASKSET, or taskset in the file',
    )
  }
  const loaded =
    typeof named === 'string'
      ? await tasksets.load(named, { environment })
      : await tasksets.restore(named, { environment })
  const taskset = loaded.select(selectionOf(config))
  const options = runOptionsOf(config)
  const allowEnv = await askForConsent(taskset.askedVariables(options), options.allowEnv, context)
  return { taskset, options: { ...options, ...(allowEnv === undefined ? {} : { allowEnv }) } }
}
