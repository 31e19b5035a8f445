import { execFile } from 'node:child_process'
import { randomUUID } from 'node:crypto'
import { readdir, stat } from 'node:fs/promises'
import { join } from 'node:path'
import { setTimeout as delay } from 'node:timers/promises'
import { RollcallError } from '../../protocol/failure.ts'
import { temporaryPrefixes } from './claim.ts'
import { process1Path } from './isolation.ts'
import { sandboxPaths, scriptPath, type SandboxPaths } from './paths.ts'
import { isAlive, killMarked, killProcess } from './process-identity.ts'
import { errorCode, isMissing, readProcessIdentity } from './record.ts'

/** remove.sh: something of the sandbox still holds its lock. */
const stillRunningExitCode = 75

/**
 * Kills process 1 and with it everything in the sandbox, waits until nothing holds its lock, and removes its directory.
 * Also for one that is half made: what has been started but is not on record yet is found by its argument list.
 * @throws RollcallError `provider-unavailable` when it cannot be verified gone.
 */
export async function removeSandbox(home: string, name: string): Promise<void> {
  const paths = sandboxPaths(home, name)
  for (const waitSeconds of [1, 2, 5, 10]) {
    const identity = await readProcessIdentity(paths)
    if (identity === undefined) await killMarked(paths.marker)
    else await killProcess(identity)
    if (await removeDirectory(home, paths, waitSeconds)) return
    await killMarked(paths.marker)
  }
  throw new RollcallError('provider-unavailable', `Sandbox ${name} could not be removed: something of it still runs`)
}

/** Ends everything in the sandbox and leaves its directory: what a crash does. Returns when it is dead. */
export async function killSandbox(home: string, name: string): Promise<void> {
  const identity = await readProcessIdentity(sandboxPaths(home, name))
  if (identity === undefined) return
  await killProcess(identity)
  while (await isAlive(identity)) await delay(2)
}

/** Removes what workers left that died while they made or removed a sandbox, when it is older than an hour. */
export async function removeLeftovers(home: string): Promise<void> {
  const names = await readdir(home).catch(() => [])
  const prefixes = Object.values(temporaryPrefixes)
  for (const name of names.filter((entry) => prefixes.some((prefix) => entry.startsWith(prefix)))) {
    const status = await stat(join(home, name)).catch(() => undefined)
    if (status && Date.now() - status.mtimeMs > 3_600_000) await removeDirectory(home, sandboxPaths(home, name), 0)
  }
}

async function removeDirectory(home: string, paths: SandboxPaths, waitSeconds: number): Promise<boolean> {
  const trash = join(home, `${temporaryPrefixes.removing}${randomUUID()}`)
  const { code, stderr } = await runScript([scriptPath('remove.sh'), paths.directory, trash, String(waitSeconds)])
  if (code === stillRunningExitCode) return false
  // Another process may have removed it at the same time.
  const isGone = code === 0 || !(await exists(paths.directory))
  if (isGone && !(await exists(trash))) return true
  throw new RollcallError(
    'provider-unavailable',
    `${paths.directory} could not be removed (exit ${String(code)}): ${stderr}`,
  )
}

function runScript(argv: string[]): Promise<{ code: unknown; stderr: string }> {
  const { promise, resolve } = Promise.withResolvers<{ code: unknown; stderr: string }>()
  execFile('/bin/sh', argv, { env: { PATH: process1Path } }, (error, _stdout, stderr) => {
    resolve({ code: error === null ? 0 : errorCode(error), stderr: stderr.trim() })
  })
  return promise
}

async function exists(path: string): Promise<boolean> {
  try {
    await stat(path)
    return true
  } catch (error) {
    if (isMissing(error)) return false
    throw error
  }
}
