import { RollcallError } from '../protocol/failure.ts'
import type { JobOptions } from '../protocol/job.ts'
import type { Task } from '../tasks/task.ts'
import type { ClientEnvironment } from './environment.ts'
import type { RunOptions } from './run-options.ts'
import { loadProfiles } from './sandboxes/profiles.ts'

/**
 * The profiles that a job's rollouts take their sandboxes from, whole: the job means the same wherever it is read.
 * @returns undefined where nobody names any
 * @throws RollcallError `configuration-invalid` for a profile that there is not, or one without `pool`
 */
export async function poolOptions(
  taskset: { readonly tasks: readonly Pick<Task, 'name' | 'profile'>[] },
  { pool, provider, imageMap }: Pick<RunOptions, 'pool' | 'provider' | 'imageMap'>,
  { env, workingDirectory }: Pick<ClientEnvironment, 'env' | 'workingDirectory'>,
): Promise<JobOptions['pools']> {
  const naming = taskset.tasks.find((task) => task.profile !== undefined)
  if (pool === undefined && naming === undefined) return undefined
  const { profiles: sources, profile, name = 'default' } = pool ?? {}
  const loaded = await loadProfiles({
    ...(sources === undefined ? {} : { profiles: sources }),
    ...(provider === undefined ? {} : { provider: providerOf(provider) }),
    ...(imageMap === undefined ? {} : { imageMap }),
    env,
    directory: workingDirectory,
  })
  const used = taskset.tasks.map((task) => task.profile ?? profile)
  const names = [...new Set([...used, profile].filter((one) => one !== undefined))]
  const found = names.map((one) => {
    const known = loaded[one]
    if (known !== undefined) return [one, known] as const
    const who = taskset.tasks.find((task) => task.profile === one)?.name
    const whose = who === undefined ? 'The job' : `Task ${who}`
    const there = Object.keys(loaded).join(', ')
    throw new RollcallError('configuration-invalid', `${whose} names profile ${one}: there are ${there}`)
  })
  return { name, ...(profile === undefined ? {} : { profile }), profiles: Object.fromEntries(found) }
}

function providerOf(provider: NonNullable<RunOptions['provider']>) {
  return typeof provider === 'string' ? provider : { name: provider.name, options: provider.options ?? {} }
}
