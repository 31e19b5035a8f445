import { execFile } from 'node:child_process'
import { access, constants } from 'node:fs/promises'
import { delimiter, join } from 'node:path'
import { promisify } from 'node:util'
import { RollcallError } from '../../protocol/failure.ts'
import { withLock } from './lock.ts'

const run = promisify(execFile)

/** The version of the Temporal CLI that Rollcall downloads or builds; later ones cannot be built from their module. */
export const temporalCliVersion = '1.5.1'

/** Update-with-start, on which jobs depend, is complete from this server version on. */
const oldestServerVersion = '1.28.0'

/** A cold build takes about five minutes on two cores. */
const fetchWaitMs = 30 * 60_000

export interface Environment {
  readonly [name: string]: string | undefined
}

export interface BinaryOptions {
  /** The caller's environment: `ROLLCALL_TEMPORAL_CLI`, `ROLLCALL_TEMPORAL_MIRROR`, `PATH`, and what Go needs. */
  readonly env: Environment
  readonly cacheDirectory: string
  readonly onProgress: (line: string) => void
}

/** A Temporal CLI, whose `server start-dev` is the embedded server. */
export interface TemporalBinary {
  readonly path: string
  readonly serverVersion: string
}

/**
 * Finds the Temporal CLI, in this order: `ROLLCALL_TEMPORAL_CLI`, `PATH`, Rollcall's cache, the official download, a
 * build from the Go module. What is downloaded or built stays in the cache, made once however many processes ask.
 * Throws `configuration-invalid` that says what to install when every way fails.
 */
export async function findTemporal(options: BinaryOptions): Promise<TemporalBinary> {
  const configured = options.env['ROLLCALL_TEMPORAL_CLI']
  if (configured) return configuredBinary(configured)
  return (await binaryOnPath(options)) ?? (await inspectBinary(cachedPath(options))) ?? (await fetchOnce(options))
}

/** The binary's server version; undefined when there is no Temporal CLI at this path. */
export async function inspectBinary(path: string): Promise<TemporalBinary | undefined> {
  try {
    await access(path, constants.X_OK)
    const { stdout } = await run(path, ['--version'], { env: {}, timeout: 20_000 })
    const serverVersion = /Server (\d+\.\d+\.\d+)/.exec(stdout)?.[1]
    return serverVersion === undefined ? undefined : { path, serverVersion }
  } catch {
    return undefined
  }
}

async function configuredBinary(path: string): Promise<TemporalBinary> {
  const binary = await inspectBinary(path)
  if (binary && isRecent(binary)) return binary
  const found = binary ? `has server ${binary.serverVersion}` : 'is not a Temporal CLI that runs here'
  throw new RollcallError(
    'configuration-invalid',
    `ROLLCALL_TEMPORAL_CLI is ${path}, which ${found}: set it to a Temporal CLI with server ${oldestServerVersion} ` +
      'or later, or unset it to let Rollcall find one.',
  )
}

async function binaryOnPath(options: BinaryOptions): Promise<TemporalBinary | undefined> {
  for (const folder of (options.env['PATH'] ?? '').split(delimiter).filter(Boolean)) {
    const binary = await inspectBinary(join(folder, 'temporal'))
    if (binary && isRecent(binary)) return binary
    if (binary) options.onProgress(`ignoring ${binary.path}: its server ${binary.serverVersion} is too old`)
  }
  return undefined
}

async function fetchOnce(options: BinaryOptions): Promise<TemporalBinary> {
  const target = cachedPath(options)
  const lock = {
    path: `${join(target, '..')}.lock`,
    waitMs: fetchWaitMs,
    onWait: () => options.onProgress('another process is fetching the Temporal server, waiting for it'),
  }
  return withLock(lock, async () => (await inspectBinary(target)) ?? (await fetchBinary({ ...options, target })))
}

/** Tries the ways to get a binary, cheapest first, and tells of each why it failed. */
async function fetchBinary(options: BinaryOptions & { target: string }): Promise<TemporalBinary> {
  const reasons: string[] = []
  for (const get of [download, build]) {
    try {
      await get(options)
      const binary = await inspectBinary(options.target)
      if (binary) return binary
      reasons.push(`${get.name}: the program does not run here`)
    } catch (error) {
      reasons.push(`${get.name}: ${error instanceof Error ? error.message : String(error)}`)
    }
    options.onProgress(`no Temporal server by ${reasons.at(-1)}`)
  }
  throw new RollcallError(
    'configuration-invalid',
    `There is no Temporal server on this machine (${reasons.join('; ')}). Install the Temporal CLI ` +
      '(https://docs.temporal.io/cli) on PATH or name it in ROLLCALL_TEMPORAL_CLI, install Go 1.25 or later so that ' +
      'Rollcall can build it, or set TEMPORAL_ADDRESS to a running server.',
  )
}

// Both ways are loaded when they are needed, which is once in the life of a machine.

async function download(options: BinaryOptions & { target: string }): Promise<void> {
  const { downloadTemporal } = await import('./download.ts')
  const archives = options.env['ROLLCALL_TEMPORAL_MIRROR']
  await downloadTemporal({ ...options, version: temporalCliVersion, ...(archives ? { archives } : {}) })
}

async function build(options: BinaryOptions & { target: string }): Promise<void> {
  const { buildTemporal } = await import('./build.ts')
  await buildTemporal({ ...options, version: temporalCliVersion })
}

function cachedPath(options: { cacheDirectory: string }): string {
  return join(options.cacheDirectory, 'temporal', temporalCliVersion, 'temporal')
}

function isRecent(binary: TemporalBinary): boolean {
  const [have, need] = [binary.serverVersion, oldestServerVersion].map((version) => version.split('.').map(Number))
  const [major = 0, minor = 0] = have ?? []
  const [needMajor = 0, needMinor = 0] = need ?? []
  return major > needMajor || (major === needMajor && minor >= needMinor)
}
