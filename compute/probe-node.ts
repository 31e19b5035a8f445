import { execFile } from 'node:child_process'
import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import { promisify } from 'node:util'
import { connectToDocker, dockerConnection } from '../providers/docker/docker-connection.ts'
import { ModalAccount } from '../providers/modal/modal-account.ts'
import { modalSettings } from '../providers/modal/modal-settings.ts'
import type { SessionStream } from '../providers/ssh/session-stream.ts'
import { SshConnections } from '../providers/ssh/ssh-connections.ts'
import { sshPlace } from '../providers/ssh/ssh-settings.ts'
import { nothingKnown } from './node.ts'
import type { ComputeNode, NodeReport } from './node.ts'
import { readReport } from './read-report.ts'

const run = promisify(execFile)
const script = readFileSync(join(import.meta.dirname, 'probe.sh'), 'utf8')
const probeTimeoutMs = 60_000

export interface ProbeEnvironment {
  /** Where credentials and DOCKER_HOST are looked up. */
  readonly env: Readonly<Record<string, string | undefined>>
  readonly stateDirectory: string
}

/**
 * Asks a node what it is. Changes nothing there.
 * @throws RollcallError `provider-unavailable`, `provider-auth`, `configuration-invalid` when it does not answer
 */
export async function probeNode(
  { type, settings }: Pick<ComputeNode, 'type' | 'settings'>,
  environment: ProbeEnvironment,
): Promise<NodeReport> {
  switch (type) {
    case 'local':
      return await probeLocal(environment)
    case 'docker':
      return await probeDocker(settings['socket'] ?? environment.env['DOCKER_HOST'])
    case 'ssh':
      return await probeSsh(settings, environment)
    case 'modal':
      return await probeModal(settings, environment)
  }
}

async function probeLocal({ env, stateDirectory }: ProbeEnvironment): Promise<NodeReport> {
  const probing = run('/bin/sh', ['-s', stateDirectory], { env: { PATH: env['PATH'] }, timeout: probeTimeoutMs })
  probing.child.stdin?.end(script)
  return readReport((await probing).stdout)
}

/** What an Engine tells of its machine; what it does not tell would have to be guessed. */
async function probeDocker(socket: string | undefined): Promise<NodeReport> {
  const { calls } = connectToDocker(dockerConnection(socket))
  const info: EngineInfo = await calls.info()
  return {
    ...nothingKnown,
    os: info.OSType,
    distribution: info.OperatingSystem,
    architecture: info.Architecture,
    cores: info.NCPU,
    memoryMiB: Math.floor(info.MemTotal / 1_048_576),
    docker: info.ServerVersion,
    roundTripMs: await medianMs(() => calls.ping()),
  }
}

/** The part of the Engine's own description that is used. */
interface EngineInfo {
  readonly OSType: string
  readonly OperatingSystem: string
  readonly Architecture: string
  readonly NCPU: number
  readonly MemTotal: number
  readonly ServerVersion: string
}

async function probeSsh(settings: ComputeNode['settings'], environment: ProbeEnvironment): Promise<NodeReport> {
  const { target, workspace } = await sshPlace(settings, environment)
  const connections = new SshConnections(target)
  try {
    const stream = await connections.exec(`/bin/sh -s ${workspace}`)
    stream.end(script)
    const report = readReport(await textOf(stream))
    return { ...report, roundTripMs: await roundTrip(connections) }
  } finally {
    await connections.close()
  }
}

/**
 * What an account is, its machines are only when a sandbox is made. The GPU is the one that the node was added with: so
 * many types may be had that none would be a choice.
 */
async function probeModal(settings: ComputeNode['settings'], { env }: ProbeEnvironment): Promise<NodeReport> {
  const read = modalSettings(settings, env)
  const account = await ModalAccount.open(read)
  try {
    await account.assertUsable()
    const gpus: NodeReport['gpus'] = read.gpu === undefined ? 'unknown' : [{ name: read.gpu, vramMiB: 'unknown' }]
    return { ...nothingKnown, gpus, roundTripMs: await medianMs(() => account.ping()) }
  } finally {
    account.close()
  }
}

async function textOf(stream: SessionStream): Promise<string> {
  const timer = setTimeout(() => stream.destroy(new Error('no answer in time')), probeTimeoutMs)
  try {
    return Buffer.concat(await stream.toArray()).toString()
  } finally {
    clearTimeout(timer)
  }
}

/** Of one byte there and back in a session that stands already. */
async function roundTrip(connections: SshConnections): Promise<number> {
  const stream = await connections.exec('cat')
  try {
    return await medianMs(async () => {
      const echoed = new Promise((resolve) => stream.once('data', resolve))
      stream.write('.')
      await echoed
    })
  } finally {
    stream.destroy()
  }
}

async function medianMs(once: () => Promise<unknown>): Promise<number> {
  const times: number[] = []
  for (let round = 0; round < 5; round += 1) {
    const begun = performance.now()
    await once()
    times.push(performance.now() - begun)
  }
  return Math.round((times.toSorted((a, b) => a - b)[2] ?? 0) * 10) / 10
}
