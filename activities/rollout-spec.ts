import type { Agent } from '../agents/agent.ts'
import { RollcallError } from '../protocol/failure.ts'
import type { JobOptions } from '../protocol/job.ts'
import { poolWorkflowId } from '../protocol/names.ts'
import type { Profile } from '../protocol/pool.ts'
import type { Problem } from '../providers/contract/provider.ts'
import type { SandboxSpec } from '../providers/contract/runtime.ts'
import type { Task } from '../tasks/task.ts'
import { poolSpec } from './pool-spec.ts'
import { phasesOf, resolveSpec } from './resolve-spec.ts'
import type { RuntimeOrder } from './resolve-spec.ts'

/**
 * The profile whose pool a task's sandbox is taken from: the task's own, else the job's.
 * @returns undefined where its sandbox is its own
 * @throws RollcallError `configuration-invalid` for a profile that the job does not have
 */
export function profileOf(task: Pick<Task, 'name' | 'profile'>, { pools }: JobOptions): Profile | undefined {
  const name = task.profile ?? pools?.profile
  if (name === undefined) return undefined
  const profile = pools?.profiles[name]
  if (profile !== undefined) return profile
  const remedy = 'name the file that has it (--profiles), or take it out of the task'
  throw new RollcallError(
    'configuration-invalid',
    `Task ${task.name} names profile ${name}, which the job lacks: ${remedy}`,
  )
}

/** Workflow id of the pool of a profile. */
export function poolOf(profile: Profile, { pools }: JobOptions): string {
  return poolWorkflowId(pools?.name ?? '', profile.name)
}

/** The order for a rollout's sandbox: of its profile where it has one, else its own. Who works in it is the task's to say. */
export function rolloutSpec(order: RuntimeOrder & { readonly agent: Partial<Agent> }): SandboxSpec {
  const { task, options, agent } = order
  const profile = profileOf(task, options)
  if (profile === undefined) return resolveSpec(order)
  const user = task.agent.user ?? task.runtime.user
  return {
    ...poolSpec(profile),
    ...(user === undefined ? {} : { user }),
    ...(agent.layerScript === undefined ? {} : { layerScript: agent.layerScript }),
  }
}

/** For how long a rollout needs its sandbox. */
export function neededMs(order: RuntimeOrder): number {
  const { agentMs, gradingMs } = phasesOf(order)
  return agentMs + gradingMs
}

const makingMs = 60_000

/** What a task or its job asks for and a sandbox of a pool cannot be. Image, resources and limits are the profile's. */
export function poolProblems({ task, options }: RuntimeOrder): Problem[] {
  const profile = profileOf(task, options)
  if (profile === undefined) return []
  const { name, slotsPerSandbox, maxLifetimeMs, runtime } = profile
  const leastMs = neededMs({ task, options }) + makingMs
  const { network, networkAsked, workdir, mounts, env } = task.runtime
  const image = task.profile === undefined ? otherImage(task, profile) : undefined
  const differing = Object.keys(env).filter((key) => runtime.env?.[key] !== env[key])
  const own = `what profile ${name} says`
  const itself = `that of profile ${name}; a task that is to run in it all the same names the profile itself`
  const found: (readonly [boolean, Problem])[] = [
    [image !== undefined, { field: 'environment.image', value: image ?? '', expected: itself }],
    [
      slotsPerSandbox > 1,
      {
        field: 'profile',
        value: name,
        expected: 'one with a slot per sandbox: tests need /tests and /logs for themselves',
      },
    ],
    [
      maxLifetimeMs < leastMs,
      {
        field: 'profile',
        value: name,
        expected: `one with maxLifetimeMs of ${leastMs} or more: agent and tests may take that`,
      },
    ],
    [
      Object.keys(options.runtime).length > 0,
      { field: 'runtime', expected: `nothing beside a pool, since it is ${own}` },
    ],
    [task.ownRuntime !== undefined, { field: 'runtime', expected: `nothing beside a pool, since it is ${own}` }],
    [
      options.keep !== 'never',
      { field: 'keep', value: options.keep, expected: 'never: sandboxes of pools are not kept' },
    ],
    [
      networkAsked && network.mode !== (typeof runtime.network === 'string' ? runtime.network : 'public'),
      { field: 'environment.network', value: network.mode, expected: own },
    ],
    [
      workdir !== undefined && workdir !== runtime.workdir,
      { field: 'environment.workdir', value: String(workdir), expected: own },
    ],
    [mounts.length > 0, { field: 'environment.mounts', expected: `nothing, since it is ${own}` }],
    [differing.length > 0, { field: `environment.env.${differing[0] ?? ''}`, expected: own }],
  ]
  return found.flatMap(([isFound, problem]) => (isFound ? [problem] : []))
}

/** What a task is made from that no sandbox of the profile is: graded elsewhere, it would look like a wrong answer. */
function otherImage({ runtime: { image } }: Pick<Task, 'runtime'>, { runtime }: Profile): string | undefined {
  if (image.type === 'dockerfile') return 'a Dockerfile'
  return image.type === 'name' && image.name !== runtime.image ? image.name : undefined
}
