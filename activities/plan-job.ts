import type { JobRef, PlanResult, RolloutPolicy } from '../protocol/activities.ts'
import { RollcallError } from '../protocol/failure.ts'
import type { JobOptions, PlannedRollout } from '../protocol/job.ts'
import { counted, rolloutName } from '../protocol/names.ts'
import type { Problem } from '../providers/contract/provider.ts'
import type { SandboxSpec } from '../providers/contract/runtime.ts'
import { planKey } from '../store/keys.ts'
import type { StoredPlan } from '../store/records.ts'
import { taskTags } from '../tasks/task-tags.ts'
import { agentTask } from './agent-task.ts'
import type { JobContext } from './job-context.ts'
import { resolveSpec } from './resolve-spec.ts'
import type { ActivityServices } from './services.ts'
import { putJsonOnce } from '../store/stored-json.ts'

/**
 * Loads, validates and asks the provider about every task, and reports all problems at once; nothing is created. Safe
 * to run twice: it reads, and the plan is a function of the options.
 */
export async function planJob(
  input: JobRef & { proofKey: string; firstCount: number },
  { context, services }: { context: JobContext; services: ActivityServices },
): Promise<PlanResult> {
  await assertSharedStore(context, input.proofKey)
  const specs = await resolveSpecs(context)
  await assertPossible(context, specs)
  assertSecrets(specs, services)
  const plan = await putJsonOnce<StoredPlan>(context.store, planKey(input.job), {
    rollouts: listRollouts(context.options),
    policy: policyOf(context.options, specs),
    tags: await tagsOf(context),
  })
  return {
    total: plan.rollouts.length,
    provider: context.options.provider.name,
    policy: plan.policy,
    first: plan.rollouts.slice(0, input.firstCount),
  }
}

interface TaskSpec {
  readonly task: string
  readonly spec: SandboxSpec
}

async function assertSharedStore(context: JobContext, proofKey: string): Promise<void> {
  if ((await context.store.get(proofKey)) !== undefined) return
  throw new RollcallError(
    'store-not-shared',
    `This worker's store ${context.store.url} lacks ${proofKey}, which the client has just written: use one store`,
  )
}

async function resolveSpecs(context: JobContext): Promise<TaskSpec[]> {
  const { options } = context
  const agents = await Promise.all(options.agents.map(({ label }) => context.agent(label)))
  const tasks = await Promise.all(options.tasks.map(({ name }) => context.task(name)))
  return tasks.flatMap((task) =>
    agents.map((agent) => ({ task: task.name, spec: resolveSpec({ task, agent, options }) })),
  )
}

/** @throws RollcallError with everything that an agent or the provider cannot do, of all tasks at once */
async function assertPossible(context: JobContext, specs: readonly TaskSpec[]): Promise<void> {
  const agentsCannot = await agentProblems(context)
  const providerCannot = await providerProblems(context, specs)
  const problems = [...new Set([...agentsCannot, ...providerCannot])]
  if (problems.length === 0) return
  throw new RollcallError(providerCannot.length > 0 ? 'runtime-unsupported' : 'agent-invalid', problems.join('\n'))
}

async function agentProblems(context: JobContext): Promise<string[]> {
  const agents = await Promise.all(context.options.agents.map(({ label }) => context.agent(label)))
  const tasks = await Promise.all(context.options.tasks.map(({ name }) => context.task(name)))
  const checks = tasks.flatMap((task) => agents.map(async (agent) => (await agent.check?.(agentTask(task, '/'))) ?? []))
  return (await Promise.all(checks)).flat()
}

async function providerProblems(context: JobContext, specs: readonly TaskSpec[]): Promise<string[]> {
  const provider = await context.provider()
  const checks = specs.map(async ({ task, spec }) =>
    (await provider.check(spec)).map((problem) => describe(task, problem)),
  )
  const problems = [...new Set((await Promise.all(checks)).flat())]
  if (problems.length === 0) return []
  return [`Provider ${provider.name} cannot run this taskset (${counted(problems.length, 'problem')}):`, ...problems]
}

function describe(task: string, { field, value, expected }: Problem): string {
  return `task ${task}: ${field}${value === undefined ? '' : ` is ${value}`}: ${expected}`
}

function assertSecrets(specs: readonly TaskSpec[], services: ActivityServices): void {
  const names = [...new Set(specs.flatMap(({ spec }) => spec.secrets))]
  const found = services.secrets(names)
  const missing = names.filter((name) => found[name] === undefined)
  if (missing.length === 0) return
  throw new RollcallError(
    'secret-missing',
    `Secrets ${missing.join(', ')} are not in the worker's environment: set them where the worker runs`,
  )
}

async function tagsOf(context: JobContext): Promise<Record<string, readonly string[]>> {
  const tasks = await Promise.all(context.options.tasks.map(({ name }) => context.task(name)))
  return Object.fromEntries(tasks.map((task) => [task.name, taskTags(task)]))
}

function listRollouts(options: JobOptions): PlannedRollout[] {
  const all = allRollouts(options)
  if (options.rollouts === undefined) return all
  const only = new Set(options.rollouts)
  const listed = all.filter(({ name }) => only.has(name))
  if (listed.length === only.size) return listed
  const unknown = options.rollouts.filter((name) => all.every((rollout) => rollout.name !== name))
  throw new RollcallError('configuration-invalid', `The job has no rollouts ${unknown.join(', ')}: nothing was started`)
}

/** Attempts outermost: with a small window every task is seen once before any is seen twice. */
function allRollouts(options: JobOptions): PlannedRollout[] {
  const attempts = Array.from({ length: options.attempts }, (_, index) => index + 1)
  return attempts.flatMap((attempt) =>
    options.tasks.flatMap(({ name: task }) =>
      options.agents.map(({ label: agent }) => ({ name: rolloutName({ task, agent, attempt }), task, agent, attempt })),
    ),
  )
}

function policyOf(options: JobOptions, specs: readonly TaskSpec[]): RolloutPolicy {
  return {
    sandboxLoss: options.sandboxLoss,
    gradingAttempts: options.gradingAttempts,
    acquireTimeoutMs: Math.max(...specs.map(({ spec }) => spec.limits.acquireTimeoutMs)),
    startTimeoutMs: Math.max(...specs.map(({ spec }) => spec.limits.startTimeoutMs)),
  }
}
