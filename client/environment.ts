import { join } from 'node:path'
import { pathToFileURL } from 'node:url'
import { cacheDirectory, stateDirectory } from '../protocol/directories.ts'

/** Where a client keeps things and what it may read. */
export interface ClientEnvironment {
  /** Given to Temporal's configuration and, unchanged, to a job's own worker. */
  readonly env: Readonly<Record<string, string | undefined>>
  readonly stateDirectory: string
  readonly cacheDirectory: string
  /** `file:///dir`; part of every job's input. */
  readonly storeUrl: string
}

/** The caller's process: `ROLLCALL_STATE_DIR`, `ROLLCALL_CACHE_DIR`, `ROLLCALL_STORE`. */
export function environmentOfProcess(env: ClientEnvironment['env'] = process.env): ClientEnvironment {
  const state = stateDirectory(env)
  return {
    env,
    stateDirectory: state,
    cacheDirectory: cacheDirectory(env),
    storeUrl: env['ROLLCALL_STORE'] || pathToFileURL(join(state, 'store')).href,
  }
}
