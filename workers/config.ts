import { join } from 'node:path'
import { pathToFileURL } from 'node:url'
import { cacheDirectory, stateDirectory } from '../protocol/directories.ts'

/** Where a worker keeps things and what it may read; the only part of Rollcall that looks into the environment. */
export interface WorkerConfig {
  readonly env: Readonly<Record<string, string | undefined>>
  readonly stateDirectory: string
  readonly cacheDirectory: string
  readonly storeUrl: string
}

/** From the environment: `ROLLCALL_STATE_DIR`, `ROLLCALL_CACHE_DIR`, `ROLLCALL_STORE`, and what agents and Temporal need. */
export function configFromEnvironment(env: WorkerConfig['env'] = process.env): WorkerConfig {
  const state = stateDirectory(env)
  return {
    env,
    stateDirectory: state,
    cacheDirectory: cacheDirectory(env),
    storeUrl: env['ROLLCALL_STORE'] || pathToFileURL(join(state, 'store')).href,
  }
}
