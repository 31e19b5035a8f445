import { join } from 'node:path'
import { fileURLToPath, pathToFileURL } from 'node:url'
import { cacheDirectory, stateDirectory } from '../protocol/directories.ts'
import { proveWritableFolder } from '../store/writable-folder.ts'

/** Where a client keeps things and what it may read. */
export interface ClientEnvironment {
  /** Given to Temporal's configuration and, unchanged, to a job's own worker. */
  readonly env: Readonly<Record<string, string | undefined>>
  readonly stateDirectory: string
  readonly cacheDirectory: string
  /** `file:///dir` or `s3://bucket/prefix`; part of every job's input. */
  readonly storeUrl: string
  /** What relative paths of agents and their files are relative to. */
  readonly workingDirectory: string
}

/** The caller's process: its working directory, `ROLLCALL_STATE_DIR`, `ROLLCALL_CACHE_DIR`, `ROLLCALL_STORE`. */
export function environmentOfProcess(env: ClientEnvironment['env'] = process.env): ClientEnvironment {
  const state = stateDirectory(env)
  return {
    env,
    stateDirectory: state,
    cacheDirectory: cacheDirectory(env),
    storeUrl: env['ROLLCALL_STORE'] || pathToFileURL(join(state, 'store')).href,
    workingDirectory: process.cwd(),
  }
}

/** @throws RollcallError `configuration-invalid` naming the folder that cannot be written, before anything starts */
export async function proveUsable({
  stateDirectory: state,
  cacheDirectory: cache,
  storeUrl,
}: ClientEnvironment): Promise<void> {
  await proveWritableFolder('ROLLCALL_STATE_DIR', state)
  await proveWritableFolder('ROLLCALL_CACHE_DIR', cache)
  if (storeUrl.startsWith('file:')) await proveWritableFolder('ROLLCALL_STORE', fileURLToPath(storeUrl))
}
