import { RollcallError } from '../protocol/failure.ts'
import { runtimeConfigSchema } from '../protocol/runtime-config.ts'
import { describeProblem, problemsOfIssues } from '../tasks/problems.ts'
import type { AgentOption, RunOptions } from './run-options.ts'

const topLevel = {
  agent: true,
  node: true,
  provider: true,
  tools: true,
  pool: true,
  attempts: true,
  concurrency: true,
  job: true,
  runtime: true,
  allowEnv: true,
  imageMap: true,
  maxTurns: true,
  maxTokens: true,
  agentTimeoutMs: true,
  sandboxLoss: true,
  requireIntegrity: true,
  gradingAttempts: true,
  timeoutMultipliers: true,
  ignoreDockerImage: true,
  keep: true,
  worker: true,
  onProgress: true,
  environment: true,
} satisfies Record<keyof RunOptions, true>
const sandboxLoss = { policy: true, maxIncarnations: true, hostLostMs: true } satisfies Record<
  keyof NonNullable<RunOptions['sandboxLoss']>,
  true
>
const agentFields = { agent: true, args: true, model: true, label: true } satisfies Record<
  keyof Extract<AgentOption, { agent: string }>,
  true
>
/**
 * Refuses what nobody would read. Node runs TypeScript without checking its types, so that a misspelled option would
 * otherwise be one that was not given.
 * @throws RollcallError `configuration-invalid` with every such option
 */
export function checkRunOptions(run: RunOptions): void {
  const agents: readonly unknown[] = Array.isArray(run.agent) ? run.agent : [run.agent ?? 'oracle']
  const problems = [
    ...unknownKeys('', run, topLevel),
    ...agents.flatMap(agentProblems),
    ...unknownKeys('provider', run.provider, { name: true, options: true, runtime: true }),
    ...unknownKeys('pool', run.pool, { profile: true, profiles: true, name: true }),
    ...unknownKeys('sandboxLoss', run.sandboxLoss, sandboxLoss),
    ...runtimeProblems('runtime', run.runtime),
    ...runtimeProblems('provider.runtime', typeof run.provider === 'object' ? run.provider.runtime : undefined),
  ]
  if (problems.length === 0) return
  throw new RollcallError('configuration-invalid', `The job's options are wrong: ${problems.join('; ')}`)
}

/** Values too: what a person wrote is told in the words of the field. */
function runtimeProblems(at: string, runtime: unknown): string[] {
  const parsed = runtimeConfigSchema.optional().safeParse(runtime)
  if (parsed.success) return []
  const problems = problemsOfIssues({ error: parsed.error, input: runtime, schema: runtimeConfigSchema })
  return problems.map((problem) => describeProblem({ ...problem, field: `${at}.${problem.field}` }))
}

function agentProblems(agent: unknown): string[] {
  if (typeof agent === 'string' || (isObject(agent) && isObject(agent['spec']))) return []
  if (isObject(agent) && typeof agent['agent'] === 'string') return unknownKeys('agent', agent, agentFields)
  return [`agent is ${JSON.stringify(agent)}: expected a name such as "oracle", or an object with such an agent`]
}

/** A sentence for each option that nobody would read. */
export function unknownKeys(field: string, value: unknown, known: object): string[] {
  if (!isObject(value)) return []
  const unknown = Object.keys(value).filter((key) => value[key] !== undefined && !Object.hasOwn(known, key))
  const expected = `expected no such option; known here: ${Object.keys(known).join(', ')}`
  return unknown.map((key) => `${field === '' ? key : `${field}.${key}`} is ${JSON.stringify(value[key])}: ${expected}`)
}

function isObject(value: unknown): value is Record<string, unknown> {
  return typeof value === 'object' && value !== null
}
