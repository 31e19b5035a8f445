import type { z } from 'zod'
import { parseAgent } from '../agents/parse-agent.ts'
import type { ParsedAgent } from '../agents/parse-agent.ts'
import { RollcallError } from '../protocol/failure.ts'
import { jobOptionsSchema } from '../protocol/job.ts'
import type { JobOptions } from '../protocol/job.ts'
import type { Task } from '../tasks/task.ts'
import type { AgentOption, RunOptions } from './run-options.ts'

const defaults = { maxTurns: 200, agentTimeoutMs: 3_600_000, maxIncarnations: 3, hostLostMs: 120_000 }

export interface PreparedOptions {
  readonly options: JobOptions
  /** Bundled TypeScript agents, to be put into the store. */
  readonly bundles: readonly NonNullable<ParsedAgent['bundle']>[]
}

/**
 * Everything that defines a job, checked.
 * @param directory what relative paths are relative to
 * @throws RollcallError `configuration-invalid`, `agent-invalid`
 */
export async function prepareJobOptions(
  taskset: { name: string; tasks: readonly Task[] },
  run: RunOptions,
  directory: string,
): Promise<PreparedOptions> {
  const agents = await Promise.all(agentOptions(run.agent).map((option) => parseAgentOption(option, directory)))
  assertUniqueLabels(agents)
  const provider = typeof run.provider === 'object' ? run.provider : { name: run.provider ?? 'docker' }
  const options = parseOptions({
    version: 1,
    taskset: taskset.name,
    tasks: taskset.tasks.map(({ name, checksum }) => ({ name, checksum })),
    agents: agents.map(({ spec }) => spec),
    provider: { name: provider.name, options: provider.options ?? {} },
    runtime: run.runtime ?? {},
    imageMap: run.imageMap ?? {},
    attempts: run.attempts ?? 1,
    concurrency: run.concurrency ?? 4,
    limits: {
      maxTurns: run.maxTurns ?? defaults.maxTurns,
      maxTokens: run.maxTokens,
      agentTimeoutMs: run.agentTimeoutMs ?? defaults.agentTimeoutMs,
    },
    sandboxLoss: {
      policy: run.sandboxLoss?.policy ?? 'fail',
      maxIncarnations: run.sandboxLoss?.maxIncarnations ?? defaults.maxIncarnations,
      hostLostMs: run.sandboxLoss?.hostLostMs ?? defaults.hostLostMs,
    },
    gradingAttempts: run.gradingAttempts ?? 1,
    timeoutMultipliers: run.timeoutMultipliers ?? {},
    ignoreDockerImage: run.ignoreDockerImage ?? false,
    keep: run.keep ?? 'never',
  })
  return { options, bundles: agents.flatMap(({ bundle }) => bundle ?? []) }
}

function agentOptions(agent: RunOptions['agent'] = 'oracle'): readonly AgentOption[] {
  return Array.isArray(agent) ? agent : [agent as AgentOption]
}

function parseAgentOption(option: AgentOption, directory: string): Promise<ParsedAgent> {
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
