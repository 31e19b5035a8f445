import type { z } from 'zod'
import { parseAgent } from '../agents/parse-agent.ts'
import { parseTools } from '../agents/parse-tools.ts'
import type { ParsedAgent } from '../agents/parse-agent.ts'
import { RollcallError } from '../protocol/failure.ts'
import { jobOptionsSchema } from '../protocol/job.ts'
import type { JobOptions, Selection } from '../protocol/job.ts'
import type { RuntimeConfig } from '../protocol/runtime-config.ts'
import type { TaskBundle } from '../tasks/task-module.ts'
import type { Task } from '../tasks/task.ts'
import { askedVariables, assertTemplates, consentedNames } from './host-consent.ts'
import type { ClientEnvironment } from './environment.ts'
import { poolOptions } from './pool-options.ts'
import { runDefaults } from './run-defaults.ts'
import type { AgentOption, RunOptions } from './run-options.ts'

/** What a job's options take from a taskset. */
export interface JobTaskset {
  readonly name: string
  readonly tasks: readonly Task[]
  readonly runtime?: RuntimeConfig | undefined
  readonly selection?: Selection | undefined
  readonly bundles?: readonly TaskBundle[]
}

/** Layers that are no task's, by whose they are. */
export function runtimesOf(
  taskset: Pick<JobTaskset, 'runtime'>,
  run: Pick<RunOptions, 'runtime' | 'provider'>,
): Record<string, RuntimeConfig | undefined> {
  const provider = typeof run.provider === 'object' ? run.provider.runtime : undefined
  return { 'the provider': provider, 'the taskset': taskset.runtime, 'the job': run.runtime }
}

export interface PreparedOptions {
  readonly options: JobOptions
  /** Bundled TypeScript agents, to be put into the store. */
  readonly bundles: readonly NonNullable<ParsedAgent['bundle']>[]
}

/**
 * Everything that defines a job, checked.
 * @param environment relative paths are relative to its directory; profiles of pools may be in its variables
 * @throws RollcallError `configuration-invalid`, `agent-invalid`
 */
export async function prepareJobOptions(
  taskset: JobTaskset,
  run: RunOptions,
  environment: Pick<ClientEnvironment, 'env' | 'workingDirectory'>,
): Promise<PreparedOptions> {
  const directory = environment.workingDirectory
  const agents = await Promise.all(agentOptions(run.agent).map((option) => parseAgentOption(option, directory)))
  assertUniqueLabels(agents)
  const tools = await Promise.all((run.tools ?? []).map((file) => parseTools(file, directory)))
  const provider = typeof run.provider === 'object' ? run.provider : { name: run.provider ?? runDefaults.provider }
  const pools = await poolOptions(taskset, run, environment)
  const runtimes = runtimesOf(taskset, run)
  assertTemplates(runtimes)
  const allowEnv = consentedNames(askedVariables(taskset.tasks, runtimes), run.allowEnv)
  const options = parseOptions({
    version: 1,
    taskset: taskset.name,
    tasks: taskset.tasks.map(({ name, checksum }) => ({ name, checksum })),
    agents: agents.map(({ spec }) => spec),
    provider: {
      name: provider.name,
      options: provider.options ?? {},
      ...('runtime' in provider && provider.runtime !== undefined ? { runtime: provider.runtime } : {}),
    },
    ...(taskset.runtime === undefined ? {} : { tasksetRuntime: taskset.runtime }),
    ...(allowEnv.length === 0 ? {} : { allowEnv }),
    ...(tools.length === 0 ? {} : { tools: tools.map(({ module }) => module) }),
    ...(taskset.selection === undefined ? {} : { selection: taskset.selection }),
    runtime: run.runtime ?? {},
    imageMap: run.imageMap ?? {},
    attempts: run.attempts ?? runDefaults.attempts,
    concurrency: run.concurrency ?? runDefaults.concurrency,
    limits: {
      maxTurns: run.maxTurns ?? runDefaults.maxTurns,
      maxTokens: run.maxTokens,
      agentTimeoutMs: run.agentTimeoutMs ?? runDefaults.agentTimeoutMs,
    },
    sandboxLoss: {
      policy: run.sandboxLoss?.policy ?? runDefaults.sandboxLoss.policy,
      maxIncarnations: run.sandboxLoss?.maxIncarnations ?? runDefaults.sandboxLoss.maxIncarnations,
      hostLostMs: run.sandboxLoss?.hostLostMs ?? runDefaults.sandboxLoss.hostLostMs,
    },
    ...(run.requireIntegrity === undefined ? {} : { requireIntegrity: run.requireIntegrity }),
    gradingAttempts: run.gradingAttempts ?? runDefaults.gradingAttempts,
    timeoutMultipliers: run.timeoutMultipliers ?? {},
    ignoreDockerImage: run.ignoreDockerImage ?? false,
    keep: run.keep ?? runDefaults.keep,
    ...(pools === undefined ? {} : { pools }),
  })
  return {
    options,
    bundles: [...(taskset.bundles ?? []), ...[...agents, ...tools].flatMap(({ bundle }) => bundle ?? [])],
  }
}

function agentOptions(agent: RunOptions['agent'] = runDefaults.agent): readonly AgentOption[] {
  return Array.isArray(agent) ? agent : [agent as AgentOption]
}

async function parseAgentOption(option: AgentOption, directory: string): Promise<ParsedAgent> {
  if (typeof option === 'object' && 'spec' in option) return option
  return parseAgent({ ...(typeof option === 'string' ? { agent: option } : option), directory })
}

function assertUniqueLabels(agents: readonly ParsedAgent[]): void {
  const labels = agents.map(({ spec }) => spec.label)
  const twice = labels.find((label, index) => labels.indexOf(label) !== index)
  if (twice === undefined) return
  throw new RollcallError(
    'configuration-invalid',
    `Agent label ${twice} is used twice: give each agent a label of its own (--agent-label, or label in TypeScript)`,
  )
}

function parseOptions(options: z.input<typeof jobOptionsSchema>): JobOptions {
  const parsed = jobOptionsSchema.safeParse(options)
  if (parsed.success) return parsed.data
  const issues = parsed.error.issues.map(({ path, message }) => {
    const value: unknown = path.reduce<unknown>(
      (at, key) => (at as Record<PropertyKey, unknown> | undefined)?.[key],
      options,
    )
    return `${path.join('.')} is ${JSON.stringify(value)}: ${message}`
  })
  throw new RollcallError('configuration-invalid', `The job's options are wrong: ${issues.join('; ')}`)
}

/** Names of the fields in which two jobs' options differ, with both values. */
export function optionDifferences(stored: JobOptions, asked: JobOptions): string[] {
  return differences('', stored, asked)
}

function differences(path: string, stored: unknown, asked: unknown): string[] {
  if (isObject(stored) && isObject(asked)) {
    const keys = [...new Set([...Object.keys(stored), ...Object.keys(asked)])]
    return keys.flatMap((key) => differences(path === '' ? key : `${path}.${key}`, stored[key], asked[key]))
  }
  const [before, now] = [JSON.stringify(stored), JSON.stringify(asked)]
  return before === now ? [] : [`${path} was ${before ?? 'absent'} and is now ${now ?? 'absent'}`]
}

function isObject(value: unknown): value is Record<string, unknown> {
  return typeof value === 'object' && value !== null
}
