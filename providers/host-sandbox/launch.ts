import { spawn, type ChildProcess } from 'node:child_process'
import { readFile } from 'node:fs/promises'
import type { Writable } from 'node:stream'
import { setTimeout as delay } from 'node:timers/promises'
import { RollcallError } from '../../protocol/failure.ts'
import { isListening } from './attachment.ts'
import { process1Path, type Isolation, type SandboxView } from './isolation.ts'
import { scriptPath, type SandboxPaths } from './paths.ts'
import { isAlive } from './process-identity.ts'
import { programsArgv } from './programs.ts'
import { readProcessIdentity } from './record.ts'
import { closingDescriptors, strayDescriptors } from './stray-descriptors.ts'

export interface Launch {
  readonly isolation: Isolation
  readonly view: SandboxView
  /** The whole environment of the sandbox; nothing of the worker's is added. */
  readonly environment: Readonly<Record<string, string>>
  readonly workdir: string
  readonly lifetimeMs: number
  readonly startTimeoutMs: number
  readonly signal?: AbortSignal
}

/**
 * Starts a prepared sandbox and returns when it can be attached to. Started by somebody else at the same time is fine:
 * one launcher wins the lock, both callers wait for the same sandbox.
 * @throws RollcallError `sandbox-create-failed`, `sandbox-start-timeout`; `sandbox-lost` when it died meanwhile.
 */
export async function launch(order: Launch): Promise<void> {
  const { paths } = order.view
  await order.isolation.prepare(order.view)
  const programs = await programsArgv(paths, order)
  const launcher = startLauncher(order, programs, await strayDescriptors())
  for (const deadline = performance.now() + order.startTimeoutMs; ;) {
    order.signal?.throwIfAborted()
    if (await isReady(paths)) return
    if (launcher.exitCode !== null && launcher.exitCode !== lockedExitCode) await explainEnd(paths, launcher.exitCode)
    if (performance.now() > deadline) {
      throw new RollcallError(
        'sandbox-start-timeout',
        `Sandbox ${order.view.name} did not start within ${order.startTimeoutMs} ms`,
      )
    }
    await delay(3)
  }
}

/** launch.sh: another launcher is at work. */
const lockedExitCode = 75
/** launch.sh: this sandbox has been started before. */
const startedBeforeExitCode = 76

async function isReady(paths: SandboxPaths): Promise<boolean> {
  const identity = await readProcessIdentity(paths)
  if (identity === undefined) return false
  if (isListening(paths)) return true
  if (await isAlive(identity)) return false
  throw new RollcallError('sandbox-lost', `The sandbox ended while it started${await logTail(paths)}`)
}

async function explainEnd(paths: SandboxPaths, exitCode: number): Promise<void> {
  // It may have been started, and have ended, between the two looks.
  if (exitCode === startedBeforeExitCode || (await readProcessIdentity(paths)) !== undefined) return
  throw new RollcallError(
    'sandbox-create-failed',
    `The sandbox could not be started (exit code ${exitCode})${await logTail(paths)}`,
  )
}

async function logTail(paths: SandboxPaths): Promise<string> {
  const log = (await readFile(paths.log, 'utf8').catch(() => '')).trim()
  return log === '' ? '' : `: ${log.slice(-500)}`
}

/** In a session of its own and without ties to this process, so that it outlives it. */
function startLauncher(order: Launch, programs: readonly string[], strays: readonly number[]): ChildProcess {
  const { paths } = order.view
  const [program = '', ...argv] = [
    closingDescriptors(strays),
    ['/bin/sh', scriptPath('launch.sh'), paths.directory],
    order.isolation.argv(order.view),
    programs,
  ].flat()
  const launcher = spawn(program, argv, {
    cwd: '/',
    detached: true,
    env: { PATH: process1Path },
    stdio: ['ignore', 'ignore', 'ignore', 'pipe'],
  })
  launcher.unref()
  const channel = launcher.stdio[3]
  if (channel && 'end' in channel) sendEnvironment(channel, order.environment)
  return launcher
}

/** As shell text; the last line proves that it is complete. */
function sendEnvironment(channel: Writable, environment: Readonly<Record<string, string>>): void {
  const exports = Object.entries(environment).map(
    ([name, value]) => `export ${name}='${value.replaceAll("'", `'\\''`)}'`,
  )
  // A launcher that has already ended (the lock was taken) does not read it.
  channel.on('error', () => {})
  channel.end([...exports, 'rollcall_environment=complete'].join('\n'))
}
