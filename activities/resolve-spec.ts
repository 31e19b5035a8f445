import type { Agent } from '../agents/agent.ts'
import type { JobOptions, RuntimeOverrides } from '../protocol/job.ts'
import type { Limits, Resources, SandboxSpec } from '../providers/contract/runtime.ts'
import type { Task } from '../tasks/task.ts'
import { multiplied } from './task-limits.ts'

const defaultLimits: Limits = {
  acquireTimeoutMs: 10 * 60_000,
  startTimeoutMs: 10 * 60_000,
  execTimeoutMs: 10 * 60_000,
  lifetimeMs: 24 * 3_600_000,
}

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
    image: order.options.ignoreDockerImage ? (runtime.dockerfile ?? runtime.image) : runtime.image,
    imageMap: order.options.imageMap,
    ...(order.agent.layerScript === undefined ? {} : { layerScript: order.agent.layerScript }),
    resources: mergeResources(runtime.resources, overrides.resources),
    limits: limitsOf(runtime, order.options),
    ...networkOf(runtime, overrides),
    env: mergeEnv(runtime.env, overrides.env),
    secrets: overrides.secrets ?? [],
    mounts: [...runtime.mounts, ...(overrides.mounts ?? [])],
    ...(user === undefined ? {} : { user }),
    ...(workdir === undefined ? {} : { workdir }),
  }
}

function limitsOf(runtime: Task['runtime'], options: JobOptions): Limits {
  const limits = { ...defaultLimits, ...runtime.limits, ...defined(options.runtime.limits ?? {}) }
  return { ...limits, startTimeoutMs: multiplied(limits.startTimeoutMs, options, 'environmentBuild') }
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
