import { randomInt } from 'node:crypto'
import { readFile, rename, writeFile } from 'node:fs/promises'
import { createServer, connect } from 'node:net'
import { setTimeout as sleep } from 'node:timers/promises'
import { z } from 'zod'
import { RollcallError } from '../../protocol/failure.ts'
import { loopback } from './settings.ts'

// Below the range from which systems take ports for outgoing connections: a worker that keeps trying to reach a dead
// server on a port of that range ends up connected to itself, and the server can never listen there again.
const lowestPort = 20_000
const highestPort = 29_999
const attempts = 200

/** The kernel takes its time to end a big process on a busy machine. */
const portsFreeWithinMs = 5_000
const pollMs = 50

const portsSchema = z.object({ port: z.int(), uiPort: z.int() })
export type Ports = z.infer<typeof portsSchema>

/**
 * The ports kept in `file`, or two free ones that are written there. They stay the same for the life of a database, so
 * that workers and bookmarks of a server that died find its successor. Call it under the server's lock.
 */
export async function keptPorts(file: string): Promise<Ports> {
  const kept = await readKeptPorts(file)
  if (kept) return kept
  const ports = { port: await freePort(), uiPort: await freePort() }
  await writeFile(`${file}.new`, `${JSON.stringify(ports)}\n`)
  await rename(`${file}.new`, file)
  return ports
}

async function readKeptPorts(file: string): Promise<Ports | undefined> {
  try {
    return portsSchema.parse(JSON.parse(await readFile(file, 'utf8')))
  } catch {
    return undefined
  }
}

/**
 * A server cannot start on a taken port; this says so in words before it fails in its log. What has just been killed
 * may hold its ports a little longer than its name, so they are looked at again for a while.
 * @throws RollcallError `configuration-invalid` naming the port and what to do
 */
export async function untilPortsFree(
  ports: Ports,
  options: { file: string; waitMs?: number; onWait: (line: string) => void },
): Promise<void> {
  const deadline = Date.now() + (options.waitMs ?? portsFreeWithinMs)
  for (let attempt = 0; ; attempt += 1) {
    const taken = await takenPort(ports)
    if (taken === undefined) return
    if (Date.now() > deadline) throw portTaken(taken, options.file)
    if (attempt === 0) options.onWait(`port ${taken} of the Temporal server is not free yet, waiting for it`)
    await sleep(pollMs)
  }
}

async function takenPort(ports: Ports): Promise<number | undefined> {
  for (const port of [ports.port, ports.uiPort]) if (!(await isFree(port))) return port
  return undefined
}

function portTaken(port: number, file: string): RollcallError {
  return new RollcallError(
    'configuration-invalid',
    `Port ${port} is kept for the embedded Temporal server but another program listens on it: end that program, ` +
      `or delete ${file} to have new ports chosen (workers that are running must then be started again).`,
  )
}

/** Whether something accepts connections on the port. */
export async function answersOn(port: number, timeoutMs: number): Promise<boolean> {
  return new Promise((resolve) => {
    const socket = connect({ host: loopback, port, timeout: timeoutMs })
    const settle = (answers: boolean) => {
      socket.destroy()
      resolve(answers)
    }
    socket.once('connect', () => settle(true))
    socket.once('error', () => settle(false))
    socket.once('timeout', () => settle(false))
  })
}

/** A port that nothing listens on now, and that no outgoing connection will take. */
export async function freePort(): Promise<number> {
  for (let attempt = 0; attempt < attempts; attempt += 1) {
    const port = randomInt(lowestPort, highestPort + 1)
    if (await isFree(port)) return port
  }
  throw new RollcallError('configuration-invalid', `No port between ${lowestPort} and ${highestPort} is free.`)
}

async function isFree(port: number): Promise<boolean> {
  return new Promise((resolve) => {
    const probe = createServer()
    probe.once('error', () => resolve(false))
    probe.listen({ host: loopback, port, exclusive: true }, () => probe.close(() => resolve(true)))
  })
}
