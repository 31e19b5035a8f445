import { meanReward } from './summary.ts'
import type { AgentSpec } from '../agents/agent.ts'
import type { JobSummary, RolloutResult, StepResult } from '../protocol/grade.ts'
import type { JobOptions } from '../protocol/job.ts'

/**
 * Harbor's result and config files (facts: Harbor 0.22), so that tools that read its jobs directory read ours. Field
 * names and nulls are Harbor's; everything it has no field for stands under `rollcall`.
 */

type JsonObject = Readonly<Record<string, unknown>>

/** Where a rollout's folder is, as a file URL, and the job it belongs to. */
export interface TrialContext {
  readonly uri: string
  readonly options: JobOptions
}

/** `<jobs-dir>/<job>/<rollout>/result.json` */
export function harborTrialResult(result: RolloutResult, context: TrialContext): JsonObject {
  return {
    id: result.id,
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
  summary?: JobSummary
}): JsonObject {
  const { results } = job
  const finishedAt = results.map((result) => result.finishedAt).toSorted()
  const cancelled = job.summary?.cancelled ?? results.filter((result) => result.state === 'cancelled').length
  const ended = results.filter((result) => result.state !== 'cancelled')
  return {
    id: job.job,
    started_at: results.map((result) => result.startedAt).toSorted()[0] ?? null,
    updated_at: finishedAt.at(-1) ?? null,
    finished_at: job.summary ? (finishedAt.at(-1) ?? null) : null,
    n_total_trials: job.total,
    stats: {
      n_completed_trials: ended.length,
      n_errored_trials: ended.filter((result) => result.state === 'failed').length,
      n_cancelled_trials: cancelled,
      n_pending_trials: job.summary ? 0 : job.total - results.length,
      n_retries: 0,
      evals: evalStats(job.options, results),
    },
    rollcall: { finished: job.summary !== undefined },
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

function environmentConfig(options: JobOptions): JsonObject {
  const { name, options: kwargs } = options.provider
  const { cpus, memoryMiB, storageMiB } = options.runtime.resources ?? {}
  return {
    type: name,
    kwargs,
    delete: options.keep === 'never',
    force_build: options.ignoreDockerImage,
    override_cpus: cpus ?? null,
    override_memory_mb: memoryMiB ?? null,
    override_storage_mb: storageMiB ?? null,
  }
}

function agentInfo(result: RolloutResult, agent: AgentSpec | undefined): JsonObject {
  const [provider, ...name] = agent?.model?.split('/') ?? []
  const model = name.length > 0 ? { name: name.join('/'), provider } : { name: provider, provider: null }
  return {
    name: agent?.module?.source ?? agent?.kind ?? result.agent,
    version: 'unknown',
    model_info: provider === undefined ? null : model,
  }
}

function agentResult({ usage, turns, agentEnd }: RolloutResult): JsonObject {
  return {
    n_input_tokens: usage.inputTokens ?? null,
    n_cache_tokens: usage.cachedInputTokens ?? null,
    n_output_tokens: usage.outputTokens ?? null,
    cost_usd: null,
    rollout_details: null,
    metadata: { turns, ...(agentEnd ? { end: agentEnd } : {}) },
  }
}

function exceptionInfo(result: Pick<RolloutResult, 'failure' | 'finishedAt'>): JsonObject | null {
  if (!result.failure) return null
  return {
    exception_type: result.failure.code,
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
    const model = agent.model === undefined ? '' : `__${agent.model.replaceAll('/', '-')}`
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
    pass_at_k: {},
    reward_stats: rewardStats(results),
    exception_stats: trialsBy(failed, (result) => result.failure?.code),
  }
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
