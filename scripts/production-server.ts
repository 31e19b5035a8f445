import { mkdir, mkdtemp, rename, rm } from 'node:fs/promises'
import { setPriority } from 'node:os'
import { dirname, join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { execa } from 'execa'
import { findTemporal } from '../client/server/binary.ts'
import { goInstall } from '../client/server/build.ts'
import { isHealthy } from '../client/server/health.ts'
import { lastLines } from '../client/server/launch.ts'
import { withLock } from '../client/server/lock.ts'
import { freePort } from '../client/server/ports.ts'
import { exists } from './debian.ts'
import type { ComposeServices } from './compose-services.ts'
import type { Postgres } from './postgres.ts'

const deploy = (name: string) => join(import.meta.dirname, '..', 'deploy', name)
const buildPriority = 10
const buildWaitMs = 40 * 60_000
const startWithinMs = 120_000
const stopWithinMs = 20_000
const pollMs = 200

/** The programs that the images `temporalio/server` and `temporalio/admin-tools` hold. */
export interface ServerPrograms {
  readonly server: string
  readonly sqlTool: string
}

/** Builds the server and its schema tool from the Go module, once per version: six minutes on two cores. */
export async function buildServerPrograms(options: {
  version: string
  cacheDirectory: string
  onProgress: (line: string) => void
}): Promise<ServerPrograms> {
  const folder = join(options.cacheDirectory, 'temporal-server', options.version)
  const programs = { server: join(folder, 'server'), sqlTool: join(folder, 'sql') }
  const onWait = () => options.onProgress('another process is building the server, waiting for it')
  await withLock({ path: `${folder}.lock`, waitMs: buildWaitMs, onWait }, async () => {
    if (!(await exists(programs.server))) await build({ ...options, target: programs.server, name: 'cmd/server' })
    if (!(await exists(programs.sqlTool))) await build({ ...options, target: programs.sqlTool, name: 'cmd/tools/sql' })
  })
  return programs
}

async function build(options: {
  version: string
  target: string
  name: string
  onProgress: (line: string) => void
}): Promise<void> {
  const module = `go.temporal.io/server/${options.name}@v${options.version}`
  options.onProgress(`building ${module}`)
  await mkdir(dirname(options.target), { recursive: true })
  const folder = await mkdtemp(join(dirname(options.target), '.build-'))
  // The compiler inherits it: whatever else this machine does comes first.
  setPriority(buildPriority)
  try {
    await goInstall({ module, folder, env: process.env, onProgress: options.onProgress })
    await rename(join(folder, options.name.slice(options.name.lastIndexOf('/') + 1)), options.target)
  } finally {
    await rm(folder, { recursive: true, force: true })
  }
}

export interface ProductionServer {
  readonly address: string
  stop(): Promise<void>
}

/** Creates or updates the two databases, by the script that the compose file runs. */
export async function createSchema(options: {
  programs: ServerPrograms
  compose: ComposeServices
  postgres: Postgres
}): Promise<void> {
  const { compose, postgres, programs } = options
  await runScript('schema.sh', {
    SQL_TOOL: programs.sqlTool,
    POSTGRES_HOST: '127.0.0.1',
    POSTGRES_PORT: String(postgres.port),
    POSTGRES_USER: compose.serverEnvironment['POSTGRES_USER'] ?? '',
    SQL_PASSWORD: compose.serverEnvironment['POSTGRES_PWD'] ?? '',
  })
}

/** Starts the server with the compose file's settings and waits until it serves. */
export async function startProductionServer(options: {
  programs: ServerPrograms
  compose: ComposeServices
  postgres: Postgres
  logFile: string
}): Promise<ProductionServer> {
  const { compose, postgres, programs } = options
  const port = await freePort()
  const environment = { ...compose.serverEnvironment, ...(await placeOnThisMachine(postgres)) }
  const server = execa(programs.server, ['--allow-no-auth', 'start'], {
    env: { ...environment, FRONTEND_GRPC_PORT: String(port) },
    extendEnv: false,
    reject: false,
    forceKillAfterDelay: stopWithinMs,
    stdin: 'ignore',
    stdout: { file: options.logFile },
    stderr: { file: options.logFile },
  })
  const address = `127.0.0.1:${port}`
  await waitUntilHealthy(address, options.logFile)
  return {
    address,
    stop: async () => {
      server.kill('SIGTERM')
      await server
    },
  }
}

/** Namespace and search attributes, by the script that the compose file runs. */
export async function createNamespace(
  address: string,
  compose: ComposeServices,
  cacheDirectory: string,
): Promise<void> {
  const temporal = await findTemporal({ env: process.env, cacheDirectory, onProgress: () => undefined })
  // The CLI looks for a configuration in the home folder, and fails where there is none.
  const home = dirname(temporal.path)
  const environment = { PATH: `${home}:/usr/bin:/bin`, HOME: home, TEMPORAL_ADDRESS: address }
  await runScript('namespace.sh', { ...compose.namespaceEnvironment, ...environment })
}

/** Runs a script of deploy/ with nothing but the given environment, as in its container. */
async function runScript(name: string, env: Record<string, string>): Promise<void> {
  await execa('/bin/sh', [deploy(name)], { env: { PATH: '/usr/bin:/bin', ...env }, extendEnv: false })
}

/** What differs from the compose file: addresses, ports and the path of the dynamic configuration. */
async function placeOnThisMachine(postgres: Postgres): Promise<Record<string, string>> {
  const grpc = ['HISTORY', 'MATCHING', 'WORKER'].map((service) => `${service}_GRPC_PORT`)
  const membership = ['FRONTEND', 'HISTORY', 'MATCHING', 'WORKER'].map((service) => `${service}_MEMBERSHIP_PORT`)
  const ports: Record<string, string> = {}
  for (const name of [...grpc, ...membership, 'FRONTEND_HTTP_PORT']) ports[name] = String(await freePort())
  return {
    ...ports,
    POSTGRES_SEEDS: '127.0.0.1',
    DB_PORT: String(postgres.port),
    BIND_ON_IP: '127.0.0.1',
    DYNAMIC_CONFIG_FILE_PATH: deploy('dynamic-config.yaml'),
  }
}

async function waitUntilHealthy(address: string, logFile: string): Promise<void> {
  const deadline = Date.now() + startWithinMs
  while (!(await isHealthy(address, 2_000))) {
    if (Date.now() > deadline) throw new Error(`the server does not answer: ${await lastLines(logFile)}`)
    await sleep(pollMs)
  }
}
