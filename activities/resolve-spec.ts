import type { Agent } from '../agents/agent.ts'
import type { JobOptions, RuntimeOverrides } from '../protocol/job.ts'
import type { Limits, Resources, SandboxSpec } from '../providers/contract/runtime.ts'
import type { Task } from '../tasks/task.ts'

const hourMs = 3_600_000
const defaultLimits: Omit<Limits, 'lifetimeMs'> = {
  acquireTimeoutMs: 10 * 60_000,
  startTimeoutMs: 10 * 60_000,
  execTimeoutMs: 10 * 60_000,
}
/** Where neither task nor job says how long: a day, or what the rollout may take if that is more, but an end it has. */
const defaultLifetimeMs = { least: 24 * hourMs, most: 365 * 24 * hourMs, besidesPhases: hourMs }

/**
 * The order for a rollout's sandbox: the job's overrides over the task's runtime over the defaults, field by field. An
 * explicit `null` clears what the task says.
 */
export function resolveSpec(order: { task: Task; agent: Agent; options: JobOptions }): SandboxSpec {
  const { runtime } = order.task
  const overrides = order.options.runtime
  const user = overridden(overrides.user, order.task.agent.user ?? runtime.user)
  const workdir = overridden(overrides.workdir, runtime.workdir)
  return {
    image: runtime.image,
    imageMap: order.options.imageMap,
    ...(order.agent.layerScript === undefined ? {} : { layerScript: order.agent.layerScript }),
    resources: mergeResources(runtime.resources, overrides.resources),
    limits: {
      ...defaultLimits,
      lifetimeMs: lifetimeOf(order),
      ...runtime.limits,
      ...defined(overrides.limits ?? {}),
    },
    ...networkOf(runtime, overrides),
    env: mergeEnv(runtime.env, overrides.env),
    secrets: overrides.secrets ?? [],
    mounts: [...runtime.mounts, ...(overrides.mounts ?? [])],
    ...(user === undefined ? {} : { user }),
    ...(workdir === undefined ? {} : { workdir }),
  }
}

/** A cap that came before the agent's and the tests' own time is up would end them as a lost sandbox. */
function lifetimeOf({ task, options }: { task: Task; options: JobOptions }): number {
  const { least, most, besidesPhases } = defaultLifetimeMs
  const agentMs = task.agent.timeoutMs ?? options.limits.agentTimeoutMs
  const phasesMs = agentMs + options.gradingAttempts * task.verifier.timeoutMs
  return Math.min(most, Math.max(least, phasesMs + besidesPhases))
}

function networkOf(
  runtime: Task['runtime'],
  overrides: RuntimeOverrides,
): Pick<SandboxSpec, 'network' | 'networkAsked'> {
  if (overrides.network === undefined) return { network: runtime.network, networkAsked: runtime.networkAsked }
  if (overrides.network === null) return { network: { mode: 'public' }, networkAsked: false }
  return { network: { mode: overrides.network }, networkAsked: true }
}

function mergeResources(base: Resources, overrides: RuntimeOverrides['resources']): Resources {
  const merged = { ...base, ...defined(overrides ?? {}) }
  return Object.fromEntries(Object.entries(merged).filter(([, value]) => value !== null))
}

function mergeEnv(base: Readonly<Record<string, string>>, overrides: RuntimeOverrides['env']): Record<string, string> {
  const merged: Record<string, string> = {}
  for (const [name, value] of Object.entries({ ...base, ...overrides })) if (value !== null) merged[name] = value
  return merged
}

function overridden(override: string | null | undefined, base: string | undefined): string | undefined {
  return override === undefined ? base : (override ?? undefined)
}

/** Without the fields that are undefined, which would hide what they are merged over. */
function defined<Value extends object>(value: Value): { [Key in keyof Value]: Exclude<Value[Key], undefined> } {
  const entries = Object.entries(value).filter(([, field]) => field !== undefined)
  return Object.fromEntries(entries) as { [Key in keyof Value]: Exclude<Value[Key], undefined> }
}
