import { existsSync } from 'node:fs'
import { stat } from 'node:fs/promises'
import { dirname } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { RollcallError } from '../../protocol/failure.ts'
import { findTemporal, inspectBinary } from './binary.ts'
import type { Environment, TemporalBinary } from './binary.ts'
import { isHealthy } from './health.ts'
import { withLock } from './lock.ts'
import { lastLines, launchServer } from './launch.ts'
import { findServerProcess, isServerProcess } from './process-table.ts'
import { readServerRecord, serverPaths, writeServerRecord } from './record.ts'
import type { ServerRecord } from './record.ts'
import { embeddedNamespace } from './settings.ts'

const healthTimeoutMs = 2_000
const startWithinMs = 60_000
const stopWithinMs = 15_000
const killWithinMs = 5_000
const pollMs = 50
/** Longer than a build of the binary, which happens under the same lock. */
const lockWaitMs = 35 * 60_000

export interface ServerOptions {
  /** The database, its ports and the log are kept here; one server per directory. */
  readonly stateDirectory: string
  readonly cacheDirectory: string
  /** The caller's environment, for finding the binary; the server itself gets none of it. */
  readonly env: Environment
  readonly onProgress: (line: string) => void
}

export interface EmbeddedServer {
  readonly address: string
  readonly namespace: string
  readonly uiUrl: string
  readonly pid: number
  readonly startedByUs: boolean
}

/**
 * The embedded server of this state directory: the one that runs, or one that this starts on the same database and
 * ports. It outlives its starter. Any number of processes may call this at once: one starts it, the others wait.
 * Throws `configuration-invalid` when there is no binary, a port is taken, or the server does not come up.
 */
export async function ensureServer(options: ServerOptions): Promise<EmbeddedServer> {
  options.onProgress('looking for a Temporal server')
  const running = await healthyServer(options.stateDirectory)
  if (running) return describe(running, false)
  return withServerLock(options, async () => {
    const started = await healthyServer(options.stateDirectory)
    if (started) return describe(started, false)
    return (await waitForRunning(options)) ?? (await start(options))
  })
}

async function healthyServer(stateDirectory: string): Promise<ServerRecord | undefined> {
  const record = await readServerRecord(stateDirectory)
  if (!record || !(await isServerProcess(record.pid, record.databaseFile))) return undefined
  return (await isHealthy(record.address, healthTimeoutMs)) ? record : undefined
}

/** A server that runs and does not answer yet: its starter was killed, or it is busy. A second one must not start. */
async function waitForRunning(options: ServerOptions): Promise<EmbeddedServer | undefined> {
  const record = await readServerRecord(options.stateDirectory)
  const pid = record && (await pidOf(record))
  if (!record || pid === undefined) return undefined
  options.onProgress(`the Temporal server with pid ${pid} does not answer yet, waiting for it`)
  await waitUntilHealthy({ ...record, pid })
  return describe({ ...record, pid }, false)
}

async function start(options: ServerOptions): Promise<EmbeddedServer> {
  const binary = await binaryToStart(options)
  const startedAt = Date.now()
  const record = await launchServer({ stateDirectory: options.stateDirectory, binary, onProgress: options.onProgress })
  await waitUntilHealthy(record)
  options.onProgress(`the Temporal server is up after ${((Date.now() - startedAt) / 1000).toFixed(1)} s`)
  return describe(record, true)
}

/** The binary that made the database is preferred to a newer one: another version would not know the running jobs. */
async function binaryToStart(options: ServerOptions): Promise<TemporalBinary> {
  const record = await readServerRecord(options.stateDirectory)
  if (record && !options.env['ROLLCALL_TEMPORAL_CLI']) {
    const binary = await inspectBinary(record.binary)
    if (binary?.serverVersion === record.serverVersion) return binary
  }
  const found = await findTemporal(options)
  if (record && found.serverVersion !== record.serverVersion) {
    options.onProgress(
      `server ${found.serverVersion} starts with a database of its own; the jobs of ${record.serverVersion} are in ` +
        record.databaseFile,
    )
  }
  return found
}

async function waitUntilHealthy(record: ServerRecord): Promise<void> {
  const deadline = Date.now() + startWithinMs
  while (Date.now() < deadline) {
    if (await isHealthy(record.address, healthTimeoutMs)) return
    if (!(await isServerProcess(record.pid, record.databaseFile))) {
      throw await startFailure(record, 'ended at once')
    }
    await sleep(pollMs)
  }
  throw await startFailure(record, `did not answer on ${record.address} within ${startWithinMs / 1000} s`)
}

async function startFailure(record: ServerRecord, what: string): Promise<RollcallError> {
  const log = await lastLines(record.logFile)
  const said = log ? `Its log ends with:\n${log}` : 'Its log is empty.'
  return new RollcallError(
    'configuration-invalid',
    `The embedded Temporal server (${record.binary}, pid ${record.pid}) ${what}; see ${record.logFile}. ${said}`,
  )
}

export type StopResult = { readonly state: 'stopped'; readonly pid: number } | { readonly state: 'not-running' }

/**
 * Ends the embedded server and returns when its process is gone; the database stays, and the next start continues all
 * workflows. It signals only a process whose command line names this directory's database. Stopping twice is fine.
 */
export async function stopServer(options: Pick<ServerOptions, 'stateDirectory' | 'onProgress'>): Promise<StopResult> {
  return withServerLock(options, async () => {
    const record = await readServerRecord(options.stateDirectory)
    const pid = record && (await pidOf(record))
    if (!record || pid === undefined) return { state: 'not-running' }
    options.onProgress(`stopping the Temporal server with pid ${pid}`)
    await writeServerRecord(options.stateDirectory, { ...record, stoppedAt: new Date().toISOString() })
    process.kill(pid, 'SIGTERM')
    if (await isGone(pid, record.databaseFile, stopWithinMs)) return { state: 'stopped', pid }
    options.onProgress('it does not stop, killing it; the write-ahead log keeps everything')
    process.kill(pid, 'SIGKILL')
    if (await isGone(pid, record.databaseFile, killWithinMs)) return { state: 'stopped', pid }
    throw new RollcallError('configuration-invalid', `The Temporal server with pid ${pid} cannot be killed: end it.`)
  })
}

/**
 * Whether the server is down because somebody stopped it, or removed all that it had: then nobody but a user may start it
 * again.
 */
export async function isStopped(stateDirectory: string): Promise<boolean> {
  if (!existsSync(dirname(serverPaths.record(stateDirectory)))) return true
  const record = await readServerRecord(stateDirectory)
  return record?.stoppedAt !== undefined && (await healthyServer(stateDirectory)) === undefined
}

async function isGone(pid: number, databaseFile: string, withinMs: number): Promise<boolean> {
  const deadline = Date.now() + withinMs
  while (Date.now() < deadline) {
    if (!(await isServerProcess(pid, databaseFile))) return true
    await sleep(pollMs)
  }
  return false
}

export type ServerStatus =
  | { readonly state: 'never-started' }
  | ({ readonly state: 'stopped'; readonly databaseBytes: number } & ServerRecord)
  | ({ readonly state: 'running' | 'not-answering'; readonly databaseBytes: number } & ServerRecord)

/** What is known about the embedded server; starts and changes nothing. */
export async function serverStatus(options: { stateDirectory: string }): Promise<ServerStatus> {
  const record = await readServerRecord(options.stateDirectory)
  if (!record) return { state: 'never-started' }
  const databaseBytes = await sizeOf(record.databaseFile)
  const pid = await pidOf(record)
  if (pid === undefined) return { state: 'stopped', databaseBytes, ...record }
  const healthy = await isHealthy(record.address, healthTimeoutMs)
  return { state: healthy ? 'running' : 'not-answering', databaseBytes, ...record, pid }
}

async function pidOf(record: ServerRecord): Promise<number | undefined> {
  if (await isServerProcess(record.pid, record.databaseFile)) return record.pid
  return findServerProcess(record.databaseFile)
}

async function sizeOf(databaseFile: string): Promise<number> {
  const sizes = ['', '-wal'].map((suffix) =>
    stat(databaseFile + suffix).then(
      ({ size }) => size,
      () => 0,
    ),
  )
  return (await Promise.all(sizes)).reduce((sum, size) => sum + size, 0)
}

function withServerLock<T>(
  options: Pick<ServerOptions, 'stateDirectory' | 'onProgress'>,
  work: () => Promise<T>,
): Promise<T> {
  const onWait = () => options.onProgress('another process is starting or stopping the Temporal server, waiting for it')
  return withLock({ path: serverPaths.lock(options.stateDirectory), waitMs: lockWaitMs, onWait }, work)
}

function describe(record: ServerRecord, startedByUs: boolean): EmbeddedServer {
  const { address, uiUrl, pid } = record
  return { address, namespace: embeddedNamespace, uiUrl, pid, startedByUs }
}
