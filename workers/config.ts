import { z } from 'zod'

/** Where a worker keeps things and what it may read. */
export interface WorkerConfig {
  /** What agents, providers and Temporal's configuration look settings and secrets up in. */
  readonly env: Readonly<Record<string, string | undefined>>
  readonly stateDirectory: string
  readonly cacheDirectory: string
  readonly storeUrl: string
}

const settingsSchema = z.object({
  job: z.string().optional(),
  stateDirectory: z.string(),
  cacheDirectory: z.string(),
  storeUrl: z.string(),
})

/**
 * A detached worker: its settings as client/spawn-worker.ts passes them in one argument, and the environment of the
 * process, which is the caller's. The only part of a worker that looks into it. Without a job it is a shared one.
 */
export function detachedWorkerConfig(
  argument: string | undefined,
  env: WorkerConfig['env'] = process.env,
): WorkerConfig & { readonly job?: string } {
  const { job, ...settings } = settingsSchema.parse(JSON.parse(argument ?? 'null'))
  return { ...settings, env, ...(job === undefined ? {} : { job }) }
}
