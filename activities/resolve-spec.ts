import type { Agent } from '../agents/agent.ts'
import type { JobOptions } from '../protocol/job.ts'
import { layRuntime } from '../protocol/runtime-config.ts'
import type { RuntimeConfig } from '../protocol/runtime-config.ts'
import type { ImageSource, Limits, SandboxSpec } from '../providers/contract/runtime.ts'
import { splitEnv } from '../tasks/host-templates.ts'
import { partsOf } from '../tasks/task-parts.ts'
import type { Task, TaskRuntime } from '../tasks/task.ts'
import { agentTimeoutMs, multiplied, verifierTimeoutMs } from './task-limits.ts'

const hourMs = 3_600_000
const defaultLimits: Omit<Limits, 'lifetimeMs'> = {
  acquireTimeoutMs: 10 * 60_000,
  startTimeoutMs: 10 * 60_000,
  execTimeoutMs: 10 * 60_000,
}
/** Where neither task nor job says how long: a day, or what the rollout may take if that is more, but an end it has. */
const defaultLifetimeMs = { least: 24 * hourMs, most: 365 * 24 * hourMs, besidesPhases: hourMs }

export interface RuntimeOrder {
  readonly task: Task
  readonly options: JobOptions
}

/**
 * The order for a rollout's sandbox. Layers, each over the one before, from what is said for many to what is said for
 * this job: the defaults, the provider's settings, the taskset, the task (task.toml, then its `rollcall.yaml`), the job.
 */
export function resolveSpec(order: RuntimeOrder & { readonly agent: Partial<Agent> }): SandboxSpec {
  const { agent, options } = order
  const runtime = layeredRuntime(order)
  const { plain, fromHost } = splitEnv(present(runtime.env ?? {}) as Record<string, string>)
  const hasHostEnv = Object.keys(fromHost).length > 0
  return {
    image: imageOf(order),
    imageMap: options.imageMap,
    ...(agent.layerScript === undefined ? {} : { layerScript: agent.layerScript }),
    resources: present(runtime.resources ?? {}),
    limits: limitsOf(runtime, order),
    ...networkOf(runtime),
    env: plain,
    secrets: [...(runtime.secrets ?? []), ...Object.keys(fromHost)],
    ...(hasHostEnv ? { hostEnv: fromHost } : {}),
    mounts: runtime.mounts ?? [],
    ...(runtime.user ? { user: runtime.user } : {}),
    ...(runtime.workdir ? { workdir: runtime.workdir } : {}),
  }
}

function limitsOf({ limits: stated }: RuntimeConfig, order: RuntimeOrder): Limits {
  const limits: Limits = { ...defaultLimits, lifetimeMs: defaultLifetime(order), ...present(stated ?? {}) }
  return { ...limits, startTimeoutMs: multiplied(limits.startTimeoutMs, order.options, 'environmentBuild') }
}

/** A cap that came before the agent's and the tests' own time is up would end them as a lost sandbox. */
function defaultLifetime(order: RuntimeOrder): number {
  const { least, most, besidesPhases } = defaultLifetimeMs
  const { agentMs, gradingMs } = phasesOf(order)
  return Math.min(most, Math.max(least, agentMs + gradingMs + besidesPhases))
}

/** How long the agent and grading may take, all parts one after the other. */
export function phasesOf({ task, options }: RuntimeOrder): { agentMs: number; gradingMs: number } {
  const sum = (times: readonly number[]) => times.reduce((total, time) => total + time, 0)
  const parts = partsOf(task)
  return {
    agentMs: sum(parts.map((part) => agentTimeoutMs(part, options))),
    gradingMs: options.gradingAttempts * sum(parts.map((part) => verifierTimeoutMs(part, options))),
  }
}

/** All layers, before defaults: what somebody has said. */
export function layeredRuntime({ task, options }: RuntimeOrder): RuntimeConfig {
  return [...lowerLayers(options), taskLayer(task), ...upperLayers(task, options)].reduce(layRuntime, {})
}

function lowerLayers(options: JobOptions): RuntimeConfig[] {
  return [options.provider.runtime ?? {}, options.tasksetRuntime ?? {}]
}

function upperLayers(task: RuntimeOrder['task'], options: JobOptions): RuntimeConfig[] {
  return [task.ownRuntime ?? {}, options.runtime]
}

/** `[environment]` of task.toml. A network that it does not name lets the layers below it speak. */
function taskLayer({ runtime, agent }: RuntimeOrder['task']): RuntimeConfig {
  const user = agent.user ?? runtime.user
  return {
    resources: runtime.resources as NonNullable<RuntimeConfig['resources']>,
    limits: runtime.limits,
    env: runtime.env,
    ...networkLayer(runtime),
    ...(runtime.mounts.length === 0 ? {} : { mounts: [...runtime.mounts] }),
    ...(user === undefined ? {} : { user }),
    ...(runtime.workdir === undefined ? {} : { workdir: runtime.workdir }),
  }
}

function networkLayer({ network, networkAsked }: TaskRuntime): Pick<RuntimeConfig, 'network'> {
  if (network.mode === 'allowlist') return { network: { allowlist: [...network.hosts] } }
  return network.mode === 'none' || networkAsked ? { network: network.mode } : {}
}

/** The network of an order; what says nothing has the public one, unasked. */
export function networkOf({ network }: RuntimeConfig): Pick<SandboxSpec, 'network' | 'networkAsked'> {
  if (network === undefined || network === null) return { network: { mode: 'public' }, networkAsked: false }
  if (typeof network === 'object') {
    return { network: { mode: 'allowlist', hosts: network.allowlist }, networkAsked: true }
  }
  return { network: { mode: network }, networkAsked: true }
}

/** A task's image may be a Dockerfile, which no other layer has: so it is no field like the others. */
function imageOf({ task, options }: RuntimeOrder): ImageSource {
  const above = upperLayers(task, options).reduce(layRuntime, {}).image
  if (above === null) return { type: 'default' }
  if (above !== undefined) return { type: 'name', name: above }
  const own = options.ignoreDockerImage ? (task.runtime.dockerfile ?? task.runtime.image) : task.runtime.image
  if (own.type !== 'default') return own
  const below = lowerLayers(options).reduce(layRuntime, {}).image
  return below ? { type: 'name', name: below } : { type: 'default' }
}

/** Without the fields that are cleared. */
export function present(table: object): object {
  return Object.fromEntries(Object.entries(table).filter(([, value]) => value !== null && value !== undefined))
}
