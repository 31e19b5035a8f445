import { spawn } from 'node:child_process'
import { mkdir, open, rename, stat } from 'node:fs/promises'
import { join } from 'node:path'
import { RollcallError } from '../../protocol/failure.ts'
import type { TemporalBinary } from './binary.ts'
import { keptPorts, untilPortsFree } from './ports.ts'
import { findServerProcess } from './process-table.ts'
import { serverPaths, writeServerRecord } from './record.ts'
import type { ServerRecord } from './record.ts'
import { loopback, serverArguments } from './settings.ts'

const tailBytes = 8 * 1024
const tailLines = 12

/**
 * Starts the server in a session of its own and writes its record; does not wait until it serves. A server of the same
 * database that runs without a record is adopted. Call it under the server's lock.
 */
export async function launchServer(options: {
  stateDirectory: string
  binary: TemporalBinary
  onProgress: (line: string) => void
}): Promise<ServerRecord> {
  const { binary } = options
  const folder = serverPaths.version(options.stateDirectory, binary.serverVersion)
  await mkdir(folder, { recursive: true })
  const databaseFile = join(folder, 'temporal.db')
  const portsFile = join(folder, 'ports.json')
  const ports = await keptPorts(portsFile)
  const free = () => untilPortsFree(ports, { file: portsFile, onWait: options.onProgress })
  const adopted = await findUnlessFree(databaseFile, free)
  const logFile = join(folder, 'server.log')
  const record = {
    binary: binary.path,
    serverVersion: binary.serverVersion,
    databaseFile,
    logFile,
    address: `${loopback}:${ports.port}`,
    uiUrl: `http://${loopback}:${ports.uiPort}`,
    startedAt: new Date().toISOString(),
  }
  options.onProgress(`starting the Temporal server ${binary.serverVersion} on ${record.address}`)
  const pid = adopted ?? (await spawnDetached({ ...record, folder, ports }))
  await writeServerRecord(options.stateDirectory, { ...record, pid })
  return { ...record, pid }
}

/**
 * @returns the pid of this database's server; undefined when none runs and its ports are free
 * @throws what `free` throws, unless a server has come meanwhile
 */
async function findUnlessFree(databaseFile: string, free: () => Promise<void>): Promise<number | undefined> {
  const running = await findServerProcess(databaseFile)
  if (running !== undefined) return running
  try {
    await free()
    return undefined
  } catch (error) {
    const late = await findServerProcess(databaseFile)
    if (late === undefined) throw error
    return late
  }
}

async function spawnDetached(server: {
  binary: string
  folder: string
  databaseFile: string
  logFile: string
  ports: { port: number; uiPort: number }
}): Promise<number> {
  await rotateLog(server.logFile)
  const log = await open(server.logFile, 'a')
  try {
    const child = spawn(server.binary, serverArguments({ databaseFile: server.databaseFile, ...server.ports }), {
      cwd: server.folder,
      // Nothing of the caller's environment: settings or secrets of one job must not live on in a shared server.
      env: { HOME: server.folder },
      detached: true,
      stdio: ['ignore', log.fd, log.fd],
    })
    return await startedPid(child)
  } finally {
    await log.close()
  }
}

async function startedPid(child: ReturnType<typeof spawn>): Promise<number> {
  return new Promise((resolve, reject) => {
    child.once('error', (error) =>
      reject(new RollcallError('configuration-invalid', `The Temporal server cannot be started: ${error.message}`)),
    )
    const { pid } = child
    child.once('spawn', () => {
      child.unref()
      if (pid !== undefined) resolve(pid)
    })
  })
}

/** The log of the last start is kept beside the new one, so that the two together stay small. */
async function rotateLog(logFile: string): Promise<void> {
  await rename(logFile, `${logFile}.1`).catch(() => undefined)
}

/** The end of a log, for an error message; empty when there is none. */
export async function lastLines(file: string): Promise<string> {
  try {
    const { size } = await stat(file)
    const handle = await open(file, 'r')
    try {
      const { buffer, bytesRead } = await handle.read(
        Buffer.alloc(tailBytes),
        0,
        tailBytes,
        Math.max(0, size - tailBytes),
      )
      const lines = buffer.subarray(0, bytesRead).toString('utf8').trimEnd().split('\n')
      return lines.slice(-tailLines).join('\n')
    } finally {
      await handle.close()
    }
  } catch {
    return ''
  }
}
