import { createHash } from 'node:crypto'
import { passAtK, passRates } from './pass-rates.ts'
import { sumOf } from './statistics.ts'
import { mainReward, meanReward } from './summary.ts'
import type { AgentSpec } from '../agents/agent.ts'
import type { JobSummary, RolloutResult, StepResult } from '../protocol/grade.ts'
import type { JobOptions } from '../protocol/job.ts'

/**
 * Harbor's result and config files (facts: Harbor 0.22), so that tools that read its jobs directory read ours. Field
 * names and nulls are Harbor's; everything it has no field for stands under `rollcall`.
 */

export type JsonObject = Readonly<Record<string, unknown>>

/** Where a rollout's folder is, as a file URL, and the job it belongs to. */
export interface TrialContext {
  readonly uri: string
  readonly options: JobOptions
}

/** `<jobs-dir>/<job>/<rollout>/result.json` */
export function harborTrialResult(result: RolloutResult, context: TrialContext): JsonObject {
  return {
    id: harborId(result.id),
    task_name: result.task,
    trial_name: result.name,
    trial_uri: context.uri,
    task_id: { path: result.task },
    source: context.options.taskset,
    task_checksum: result.taskChecksum,
    config: harborTrialConfig(result, context.options),
    agent_info: agentInfo(result, agentOf(result, context.options)),
    agent_result: agentResult(result),
    verifier_result: result.rewards ? { rewards: result.rewards } : null,
    verifier_environment_mode: verifierMode(result),
    exception_info: exceptionInfo(result),
    started_at: result.startedAt,
    finished_at: result.finishedAt,
    environment_setup: timing(result, 'open'),
    agent_setup: null,
    agent_execution: timing(result, 'turns'),
    verifier: timing(result, 'grade'),
    step_results: result.steps?.map((step) => stepResult(step, result)) ?? null,
    rollcall: result,
  }
}

/** `<jobs-dir>/<job>/<rollout>/config.json` */
export function harborTrialConfig(result: RolloutResult, options: JobOptions): JsonObject {
  const agent = agentOf(result, options)
  return {
    task: { path: result.task, source: options.taskset },
    trial_name: result.name,
    job_id: harborId(result.job),
    agent: agent ? agentConfig(agent) : { name: result.agent },
    environment: environmentConfig(options),
    rollcall: { job: result.job, attempt: result.attempt },
  }
}

/** `<jobs-dir>/<job>/config.json` */
export function harborJobConfig(job: string, options: JobOptions): JsonObject {
  return {
    job_name: job,
    n_attempts: options.attempts,
    n_concurrent_trials: options.concurrency,
    ...timeoutMultipliers(options),
    agents: options.agents.map(agentConfig),
    environment: environmentConfig(options),
    datasets: [{ name: options.taskset, task_names: options.tasks.map((task) => task.name) }],
    rollcall: options,
  }
}

/** `<jobs-dir>/<job>/result.json`. `summary` is the job's own and is there once the job has ended. */
export function harborJobResult(job: {
  job: string
  options: JobOptions
  total: number
  results: readonly RolloutResult[]
  /** ISO 8601: for a job of which no rollout has ended. */
  startedAt: string
  summary?: JobSummary
}): JsonObject {
  const { results } = job
  const finishedAt = results.map((result) => result.finishedAt).toSorted()
  const count = (state: RolloutResult['state']) => results.filter((result) => result.state === state).length
  return {
    id: harborId(job.job),
    // Harbor's own is never null.
    started_at: results.map((result) => result.startedAt).toSorted()[0] ?? job.startedAt,
    updated_at: finishedAt.at(-1) ?? null,
    finished_at: job.summary ? (finishedAt.at(-1) ?? null) : null,
    n_total_trials: job.total,
    stats: {
      // Harbor counts whatever has ended as completed, and what was cancelled as an error, too.
      n_completed_trials: results.length,
      n_errored_trials: count('failed') + count('cancelled'),
      n_running_trials: 0,
      n_cancelled_trials: job.summary?.cancelled ?? count('cancelled'),
      n_pending_trials: job.summary ? 0 : job.total - results.length,
      n_retries: sumOf(results.map(({ incarnations }) => Math.max(0, incarnations - 1))),
      ...tokenTotals(results),
      evals: evalStats(job.options, results),
    },
    rollcall: { id: job.job, finished: job.summary !== undefined },
  }
}

function timeoutMultipliers({ timeoutMultipliers: by }: JobOptions): JsonObject {
  return {
    timeout_multiplier: by.all ?? 1,
    agent_timeout_multiplier: by.agent ?? null,
    verifier_timeout_multiplier: by.verifier ?? null,
    agent_setup_timeout_multiplier: by.agentSetup ?? null,
    environment_build_timeout_multiplier: by.environmentBuild ?? null,
  }
}

function agentOf(result: RolloutResult, options: JobOptions): AgentSpec | undefined {
  const found = options.agents.find((agent) => agent.label === result.agent)
  return found && agentSpec(found)
}

/** Zod's optional keys may hold `undefined`; the contract's may not. */
function agentSpec(agent: JobOptions['agents'][number]): AgentSpec {
  const { model, module, ...rest } = agent
  return { ...rest, ...(model === undefined ? {} : { model }), ...(module === undefined ? {} : { module }) }
}

function agentConfig(agent: JobOptions['agents'][number]): JsonObject {
  return {
    name: agent.module ? null : agent.kind,
    import_path: agent.module?.source ?? null,
    model_name: agent.model ?? null,
    kwargs: agent.args,
    rollcall: { label: agent.label },
  }
}

/** Those of our providers that Harbor has, too; it reads no file that names another. */
const harborEnvironments = new Set(['docker', 'daytona', 'e2b', 'modal', 'runloop'])

function environmentConfig(options: JobOptions): JsonObject {
  const { name, options: kwargs } = options.provider
  const { cpus, memoryMiB, storageMiB } = options.runtime.resources ?? {}
  return {
    ...(harborEnvironments.has(name) ? { type: name } : { type: null, import_path: `rollcall:${name}` }),
    kwargs,
    delete: options.keep === 'never',
    force_build: options.ignoreDockerImage,
    override_cpus: cpus === undefined || cpus === null ? null : Math.ceil(cpus),
    override_memory_mb: memoryMiB ?? null,
    override_storage_mb: storageMiB ?? null,
  }
}

function agentInfo(result: RolloutResult, agent: AgentSpec | undefined): JsonObject {
  const [provider, ...name] = agent?.model?.split('/') ?? []
  const model = name.length > 0 ? { name: name.join('/'), provider } : { name: provider, provider: null }
  return {
    // What Harbor groups by: the same agent may run twice in a job, and its label is its own.
    name: result.agent,
    version: 'unknown',
    model_info: provider === undefined ? null : model,
  }
}

function agentResult({ usage, turns, agentEnd }: RolloutResult): JsonObject {
  return {
    n_input_tokens: usage.inputTokens ?? null,
    n_cache_tokens: usage.cachedInputTokens ?? null,
    n_output_tokens: usage.outputTokens ?? null,
    cost_usd: usage.costUsd ?? null,
    rollout_details: null,
    metadata: { turns, ...(agentEnd ? { end: agentEnd } : {}) },
  }
}

function exceptionInfo(
  result: Pick<RolloutResult, 'failure' | 'finishedAt'> & { state?: RolloutResult['state'] },
): JsonObject | null {
  if (!result.failure) return null
  return {
    // Harbor's scripts tell a cancelled trial from a broken one by this name.
    exception_type: result.state === 'cancelled' ? 'CancelledError' : result.failure.code,
    exception_message: result.failure.message,
    exception_traceback: '',
    occurred_at: result.finishedAt,
  }
}

/** Harbor's is about the whole task; of several steps each has its own. */
function verifierMode({ integrity, steps }: RolloutResult): 'separate' | 'shared' | null {
  if (steps !== undefined) return null
  return integrity === 'separate' ? 'separate' : 'shared'
}

function stepResult(step: StepResult, { finishedAt }: RolloutResult): JsonObject {
  return {
    step_name: step.name,
    agent_result: step.agentEnd ? { metadata: { end: step.agentEnd } } : null,
    verifier_result: step.rewards ? { rewards: step.rewards } : null,
    exception_info: exceptionInfo({ ...step, finishedAt }),
    agent_execution: timing(step, 'turns'),
    verifier: timing(step, 'grade'),
  }
}

function timing(result: Pick<RolloutResult, 'phases'>, phase: 'open' | 'turns' | 'grade'): JsonObject | null {
  const times = result.phases[phase]
  return times ? { started_at: times.startedAt, finished_at: times.finishedAt } : null
}

/** Harbor's `<agent>__<model>__<dataset>` groups. */
function evalStats(options: JobOptions, results: readonly RolloutResult[]): JsonObject {
  const groups = options.agents.map((agent) => {
    const own = results.filter((result) => result.agent === agent.label)
    const [, ...name] = agent.model?.split('/') ?? []
    const model = agent.model === undefined ? '' : `__${name.length > 0 ? name.join('/') : agent.model}`
    return [`${agent.label}${model}__${options.taskset}`, groupStats(own)] as const
  })
  return Object.fromEntries(groups)
}

function groupStats(results: readonly RolloutResult[]): JsonObject {
  const mean = meanReward(results)
  const failed = results.filter((result) => result.state === 'failed')
  return {
    n_trials: results.filter((result) => result.state === 'graded').length,
    n_errors: failed.length,
    metrics: mean === undefined ? [] : [{ mean }],
    pass_at_k: passAtKOf(results),
    reward_stats: rewardStats(results),
    exception_stats: trialsBy(failed, (result) => result.failure?.code),
  }
}

/** As Harbor, only where every reward is 0 or 1; `1` is the mean. */
function passAtKOf(results: readonly RolloutResult[]): JsonObject {
  const rewards = results.flatMap(({ rewards: own }) => (own ? [Object.values(own)] : []))
  if (rewards.some((own) => own.length !== 1 || (own[0] !== 0 && own[0] !== 1))) return {}
  const tasks = Map.groupBy(
    results.filter(({ rewards: own }) => own !== undefined),
    ({ task }) => task,
  )
  const tallies = [...tasks.values()].map((own) => ({
    graded: own.length,
    passed: own.filter(({ rewards: one }) => one !== undefined && mainReward(one) === 1).length,
  }))
  const rates = passRates(tallies, passAtK).filter(({ k }) => k > 1)
  return Object.fromEntries(rates.map(({ k, value }) => [String(k), value]))
}

function tokenTotals(results: readonly RolloutResult[]): JsonObject {
  const sum = (name: 'inputTokens' | 'cachedInputTokens' | 'outputTokens' | 'costUsd') => {
    const reported = results.flatMap(({ usage }) => usage[name] ?? [])
    return reported.length === 0 ? null : sumOf(reported)
  }
  return {
    n_input_tokens: sum('inputTokens'),
    n_cache_tokens: sum('cachedInputTokens'),
    n_output_tokens: sum('outputTokens'),
    cost_usd: sum('costUsd'),
  }
}

/** Harbor's ids are UUIDs and it reads no file with another; ours is `rollcall.id`. The same id gives the same UUID. */
export function harborId(id: string): string {
  const hex = createHash('sha256').update(`rollcall:${id}`).digest('hex')
  const variant = ((Number.parseInt(hex.slice(16, 17), 16) & 0x3) | 0x8).toString(16)
  return [
    hex.slice(0, 8),
    hex.slice(8, 12),
    `8${hex.slice(13, 16)}`,
    `${variant}${hex.slice(17, 20)}`,
    hex.slice(20, 32),
  ].join('-')
}

function rewardStats(results: readonly RolloutResult[]): JsonObject {
  const names = new Set(results.flatMap((result) => Object.keys(result.rewards ?? {})))
  const stats = [...names].map((name) => [name, trialsBy(results, (result) => pythonFloat(result.rewards?.[name]))])
  return Object.fromEntries(stats)
}

function trialsBy(
  results: readonly RolloutResult[],
  keyOf: (result: RolloutResult) => string | undefined,
): Record<string, string[]> {
  const trials: Record<string, string[]> = {}
  for (const result of results) {
    const key = keyOf(result)
    if (key !== undefined) (trials[key] ??= []).push(result.name)
  }
  return trials
}

/** Harbor's keys are Python floats: `1.0`, not `1`. */
function pythonFloat(value: number | undefined): string | undefined {
  if (value === undefined) return undefined
  return Number.isInteger(value) ? value.toFixed(1) : String(value)
}
