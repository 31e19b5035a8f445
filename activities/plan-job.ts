import type { JobRef, PlanResult, RolloutPolicy } from '../protocol/activities.ts'
import { failureKinds, RollcallError } from '../protocol/failure.ts'
import type { Failure } from '../protocol/failure.ts'
import type { JobOptions, PlannedRollout } from '../protocol/job.ts'
import { counted, rolloutName } from '../protocol/names.ts'
import type { Problem, Provider } from '../providers/contract/provider.ts'
import type { SandboxSpec } from '../providers/contract/runtime.ts'
import type { Task } from '../tasks/task.ts'
import { planFailureKey, planKey } from '../store/keys.ts'
import type { StoredPlan } from '../store/records.ts'
import { taskTags } from '../tasks/task-tags.ts'
import { agentTask } from './agent-task.ts'
import { effectiveRuntime } from './effective-runtime.ts'
import { assertHostValues } from './host-values.ts'
import type { JobContext } from './job-context.ts'
import { limitProblems } from './limit-problems.ts'
import { partsOf } from '../tasks/task-parts.ts'
import type { Agent } from '../agents/agent.ts'
import { agentUser, verifierSpec } from './part-spec.ts'
import { poolProblems, profileOf, rolloutSpec } from './rollout-spec.ts'
import type { ActivityServices } from './services.ts'
import { agentSetupTimeoutMs, healthcheckMs } from './task-limits.ts'
import { toolSet } from '../tools/tool-set.ts'
import { putJsonOnce } from '../store/stored-json.ts'

/**
 * Loads, validates and asks the provider about every task, and reports all problems at once; nothing is created. Safe
 * to run twice: it reads, and the plan is a function of the options; plan or final failure are `putOnce`.
 */
export async function planJob(input: PlanInput, at: Planning): Promise<PlanResult> {
  try {
    return await makePlan(input, at)
  } catch (error) {
    if (error instanceof RollcallError && !failureKinds[error.code].retry) {
      const { code, message } = error
      await putJsonOnce<Failure>(at.context.store, planFailureKey(input.job), { code, message })
    }
    throw error
  }
}

type PlanInput = JobRef & { proofKey: string; firstCount: number }

interface Planning {
  readonly context: JobContext
  readonly services: ActivityServices
}

async function makePlan(input: PlanInput, { context, services }: Planning): Promise<PlanResult> {
  await assertSharedStore(context, input.proofKey)
  const specs = await resolveSpecs(context)
  // Tools that do not load, or are called alike, fail here.
  toolSet(await context.tools())
  await assertPossible(context, specs)
  assertHostValues(specs, { options: context.options, services })
  // A model without its key fails here, before anything starts.
  for (const model of new Set(specs.flatMap(({ task }) => task.judge?.model ?? []))) await services.loadJudge(model)
  const plan = await putJsonOnce<StoredPlan>(context.store, planKey(input.job), {
    rollouts: listRollouts(context.options),
    policy: policyOf(context.options, specs),
    runtimes: runtimesByTask(specs),
    tags: await tagsOf(context),
  })
  return {
    total: plan.rollouts.length,
    provider: context.options.provider.name,
    policy: plan.policy,
    first: plan.rollouts.slice(0, input.firstCount),
  }
}

/** Of the agents' sandboxes. What tells agents apart (an installation in the image) is no part of it. */
function runtimesByTask(specs: readonly TaskSpec[]): NonNullable<StoredPlan['runtimes']> {
  const own = specs.filter(({ at, only }) => at === '' && only === undefined)
  return Object.fromEntries(own.map(({ task, spec }) => [task.name, effectiveRuntime(spec)]))
}

interface TaskSpec {
  readonly task: Task
  readonly spec: SandboxSpec
  /** What the order is for, before the names of its fields: empty for the agent's sandbox. */
  readonly at: string
  /** The only field that is asked about: the others are those of another order. */
  readonly only?: 'user'
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
  return tasks.flatMap((task) => [
    ...agents.flatMap((agent) => agentSpecs(task, { agent, options })),
    ...verifierSpecs(task, options),
  ])
}

/** The sandbox's order, and one for each other user that is to run commands in it. */
function agentSpecs(task: Task, { agent, options }: { agent: Agent; options: JobOptions }): TaskSpec[] {
  const spec = rolloutSpec({ task, agent, options })
  const users = partsOf(task).flatMap((part) => {
    const field = part.step === undefined ? '' : `steps ${part.step} `
    const { mode, collect } = part.verifier
    return [
      { at: `${field}agent.`, user: agentUser({ part, spec, options }) },
      ...(mode === 'shared' ? [{ at: `${field}verifier.`, user: part.verifier.user }] : []),
      ...collect.map(({ user }) => ({ at: `${field}verifier.collect.`, user })),
    ]
  })
  const others = users.filter(({ user }) => user !== undefined && user !== spec.user)
  return [
    { task, spec, at: '' },
    ...others.map(({ at, user }) => ({ task, spec: { ...spec, user: user ?? '' }, at, only: 'user' as const })),
  ]
}

/** What separate verifiers ask for. */
function verifierSpecs(task: Task, options: JobOptions): TaskSpec[] {
  return partsOf(task).flatMap((part) => {
    const spec = verifierSpec({ task, part, options })
    if (spec === undefined) return []
    const { user } = part.verifier
    return [{ task, spec: user === undefined ? spec : { ...spec, user }, at: 'verifier.environment.' }]
  })
}

/** @throws RollcallError with everything that cannot be: of limits, an agent or the provider, for all tasks at once */
async function assertPossible(context: JobContext, specs: readonly TaskSpec[]): Promise<void> {
  const agentsCannot = await agentProblems(context)
  const providerCannot = await providerProblems(context, specs)
  const { endsIdle = false } = (await context.provider()).capabilities
  const limitsCannot = specs.flatMap(({ task }) => {
    const order = { task, options: context.options, endsIdle }
    const problems = profileOf(task, context.options) === undefined ? limitProblems(order) : poolProblems(order)
    return problems.map((problem) => describe(task.name, problem))
  })
  const problems = [...new Set([...limitsCannot, ...agentsCannot, ...providerCannot])]
  if (problems.length === 0) return
  const ours = limitsCannot.length > 0 ? 'configuration-invalid' : 'agent-invalid'
  throw new RollcallError(providerCannot.length > 0 ? 'runtime-unsupported' : ours, problems.join('\n'))
}

async function agentProblems(context: JobContext): Promise<string[]> {
  const agents = await Promise.all(context.options.agents.map(({ label }) => context.agent(label)))
  const tasks = await Promise.all(context.options.tasks.map(({ name }) => context.task(name)))
  const checks = tasks.flatMap((task) =>
    partsOf(task).flatMap((_, index) => {
      const step = task.steps.length === 0 ? undefined : index
      return agents.map(async (agent) => (await agent.check?.(agentTask(task, { workdir: '/', step }))) ?? [])
    }),
  )
  return (await Promise.all(checks)).flat()
}

async function providerProblems(context: JobContext, specs: readonly TaskSpec[]): Promise<string[]> {
  const provider = await context.provider()
  const checks = specs.map(async ({ task, spec, at, only }) =>
    (await (await providerOf(context, task, at)).check(spec))
      .filter(({ field }) => only === undefined || field === only)
      .map((problem) => describe(task.name, { ...problem, field: `${at}${problem.field}` })),
  )
  const found = [...(await Promise.all(checks)).flat(), ...specs.flatMap((one) => imageProblems(one, context.options))]
  const problems = [...new Set(found)]
  if (problems.length === 0) return []
  return [`Provider ${provider.name} cannot run this taskset (${counted(problems.length, 'problem')}):`, ...problems]
}

/** A separate verifier's sandbox is never of a pool. */
async function providerOf(context: JobContext, task: Task, at: string): Promise<Provider> {
  const profile = at.startsWith('verifier.environment') ? undefined : profileOf(task, context.options)
  if (profile === undefined) return await context.provider()
  return await context.providerOf({ provider: profile.provider.name, options: profile.provider.options })
}

function describe(task: string, { field, value, expected }: Problem): string {
  return `task ${task}: ${field}${value === undefined ? '' : ` is ${value}`}: ${expected}`
}

/** `ignoreDockerImage` needs something to build. */
function imageProblems({ task, spec, at, only }: TaskSpec, options: JobOptions): string[] {
  if (!options.ignoreDockerImage || spec.image.type !== 'name' || only !== undefined) return []
  const expected = 'a Dockerfile beside it, which --ignore-docker-image is to build'
  return [
    describe(task.name, {
      field: `${at || 'environment.'}docker_image`,
      value: JSON.stringify(spec.image.name),
      expected,
    }),
  ]
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
    startTimeoutMs: Math.max(...specs.map((order) => startMs(order, options))),
  }
}

/** Until the agent may begin: the sandbox runs, is healthy, and has the agent's installation. */
function startMs({ task, spec }: TaskSpec, options: JobOptions): number {
  const installMs = spec.layerScript === undefined ? 0 : agentSetupTimeoutMs(options)
  return spec.limits.startTimeoutMs + healthcheckMs(task.healthcheck) + installMs
}
