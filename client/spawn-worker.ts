import { spawn } from 'node:child_process'
import type { ChildProcess } from 'node:child_process'
import { closeSync, mkdirSync, openSync } from 'node:fs'
import { dirname, extname, join } from 'node:path'
import { fileURLToPath } from 'node:url'
import type { ClientEnvironment } from './environment.ts'

/** Where a worker that a client starts writes its log. `name`: its job, or `shared`. */
export function workerLogPath({ stateDirectory }: ClientEnvironment, name: string): string {
  return join(stateDirectory, 'workers', `${name}.log`)
}

/**
 * Starts a detached worker with the caller's environment, which outlives this process. Without a job: a shared one.
 * Returns at once, so that the caller hears of an error.
 */
export function spawnWorker(environment: ClientEnvironment, job?: string): ChildProcess {
  const { env, stateDirectory, cacheDirectory, storeUrl } = environment
  const log = openLog(workerLogPath(environment, job ?? 'shared'))
  const config = JSON.stringify({ job, stateDirectory, cacheDirectory, storeUrl })
  const main = fileURLToPath(new URL(`../workers/main${extname(import.meta.url)}`, import.meta.url))
  const child = spawn(process.execPath, [main, config], {
    detached: true,
    stdio: ['ignore', log, log],
    env: Object.fromEntries(Object.entries(env).filter(([, value]) => value !== undefined)),
  })
  closeSync(log)
  child.unref()
  return child
}

function openLog(path: string): number {
  mkdirSync(dirname(path), { recursive: true, mode: 0o700 })
  return openSync(path, 'a', 0o600)
}
