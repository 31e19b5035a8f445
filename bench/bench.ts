import { randomUUID } from 'node:crypto'
import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { setTimeout as delay } from 'node:timers/promises'
import { pathToFileURL } from 'node:url'
import { connectTemporal, namespaceUuid } from '../client/connect.ts'
import type { TemporalConnection } from '../client/connect.ts'
import type { ClientEnvironment } from '../client/environment.ts'
import { findTemporal } from '../client/server/binary.ts'
import { serverStatus, stopServer } from '../client/server/server.ts'
import { cacheDirectory } from '../protocol/directories.ts'
import type { Provider } from '../providers/contract/provider.ts'
import { connectToDocker, dockerConnection } from '../providers/docker/docker-connection.ts'
import type { DockerConnection } from '../providers/docker/docker-connection.ts'
import { createDockerProvider } from '../providers/docker/docker-provider.ts'
import { createFakeProvider } from '../providers/fake/fake-provider.ts'
import { ensureTestImages, probeDocker } from '../scripts/test-images.ts'
import { imageLabel, writeTasks } from './bench-tasks.ts'
import type { BenchTasks } from './bench-tasks.ts'
import { processesNaming } from './process-usage.ts'

const processesEndWithinMs = 20_000

/** What all measures work with: directories, a server and tasks that are of this run alone. */
export interface Bench {
  /** Everything that the run writes is below it. */
  readonly home: string
  readonly environment: ClientEnvironment
  readonly temporal: TemporalConnection
  /** UUID of the namespace: the label of every sandbox of this run. */
  readonly namespace: string
  readonly serverPid: number
  readonly docker: DockerConnection
  readonly imageMap: Readonly<Record<string, string>>
  readonly tasks: BenchTasks
  /** How often each measure that starts jobs is repeated. */
  readonly runs: number
  readonly progress: (line: string) => void
}

export interface BenchOptions {
  readonly env: Readonly<Record<string, string | undefined>>
  readonly runs: number
  readonly progress: (line: string) => void
}

/**
 * A home of its own for one run of the benchmarks: state, cache, store, embedded server. `close` ends every process that
 * was started from it and removes every sandbox and image that was made, also after a measure broke off.
 * @throws Error with one sentence when no Docker Engine answers
 */
export async function openBench(options: BenchOptions): Promise<Bench & { close: () => Promise<void> }> {
  const { env, runs, progress } = options
  const docker = dockerConnection(env['DOCKER_HOST'])
  const engine = await probeDocker(docker)
  if (!engine.ready) throw new Error(engine.reason)
  const cached = { cacheDirectory: cacheDirectory(env), env, onProgress: progress }
  const imageMap = await ensureTestImages({ connection: docker, cacheDirectory: cached.cacheDirectory })
  const binary = await findTemporal(cached)
  const home = await mkdtemp(join(tmpdir(), 'rollcall-bench-'))
  const environment = environmentIn(home, { ...env, ROLLCALL_TEMPORAL_CLI: binary.path })
  try {
    return await openInHome({ home, environment, docker, imageMap, runs, progress })
  } catch (error) {
    await closeHome({ home, environment, progress })
    throw error
  }
}

async function openInHome(
  at: Pick<Bench, 'home' | 'environment' | 'docker' | 'imageMap' | 'runs' | 'progress'>,
): Promise<Bench & { close: () => Promise<void> }> {
  const imageMark = randomUUID()
  const tasks = await writeTasks(join(at.home, 'tasks'), imageMark)
  const temporal = await connectTemporal({ ...at.environment, onProgress: at.progress })
  const namespace = await namespaceUuid(temporal.client)
  const bench = { ...at, temporal, namespace, tasks, serverPid: await serverPidOf(at.environment) }
  return { ...bench, close: () => closeBench(bench, imageMark) }
}

/** The caller's environment, but with nothing that would lead to another server or another place. */
function environmentIn(home: string, env: ClientEnvironment['env']): ClientEnvironment {
  const foreign = /^(TEMPORAL_|ROLLCALL_(?!TEMPORAL_CLI$))/
  const stateDirectory = join(home, 'state')
  const cacheDirectory = join(home, 'cache')
  return {
    env: {
      ...Object.fromEntries(Object.entries(env).filter(([name]) => !foreign.test(name))),
      ROLLCALL_STATE_DIR: stateDirectory,
      ROLLCALL_CACHE_DIR: cacheDirectory,
    },
    stateDirectory,
    cacheDirectory,
    storeUrl: pathToFileURL(join(stateDirectory, 'store')).href,
    workingDirectory: home,
  }
}

async function serverPidOf({ stateDirectory }: ClientEnvironment): Promise<number> {
  const status = await serverStatus({ stateDirectory })
  if (status.state !== 'running') throw new Error(`The bench's own server is ${status.state}`)
  return status.pid
}

async function closeBench(bench: Bench, imageMark: string): Promise<void> {
  await bench.temporal.close()
  await endWorkers(bench.home)
  await removeSandboxes(bench)
  await removeImages(bench.docker, imageMark)
  await closeHome(bench)
}

async function closeHome({ home, environment, progress }: Pick<Bench, 'home' | 'environment' | 'progress'>) {
  await stopServer({ stateDirectory: environment.stateDirectory, onProgress: progress })
  await rm(home, { recursive: true, force: true })
}

/** Workers of jobs end by themselves a few seconds after their job; what is left after that is ended. */
async function endWorkers(home: string): Promise<void> {
  await workersEnded(home, processesEndWithinMs)
  for (const pid of await workerPids(home)) process.kill(pid, 'SIGKILL')
}

/** Waits until no worker process of this home is left, so that none takes part in what is measured next. */
export async function workersEnded(home: string, withinMs = processesEndWithinMs): Promise<void> {
  const deadline = Date.now() + withinMs
  while (Date.now() < deadline && (await workerPids(home)).length > 0) await delay(100)
}

async function workerPids(home: string): Promise<number[]> {
  const [naming, workers] = await Promise.all([processesNaming(home), processesNaming('workers/main.')])
  return naming.filter((pid) => workers.includes(pid))
}

async function removeSandboxes(bench: Bench): Promise<void> {
  const { namespace } = bench
  for (const provider of providersOf(bench)) {
    for (const { name } of await provider.list({ namespace })) await provider.destroy(name)
    await provider.close()
  }
}

function providersOf({ docker, environment }: Pick<Bench, 'docker' | 'environment'>): Provider[] {
  const { stateDirectory } = environment
  return [createDockerProvider({ connection: docker, stateDirectory }), createFakeProvider({ stateDirectory })]
}

async function removeImages(connection: DockerConnection, mark: string): Promise<void> {
  const { calls } = connectToDocker(connection)
  const images = await calls.listImages({ filters: { label: [`${imageLabel}=${mark}`] } })
  for (const { Id } of images) await calls.getImage(Id).remove({ force: true })
}
