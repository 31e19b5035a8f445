import { execFile } from 'node:child_process'
import { promisify } from 'node:util'
import { trialBinds } from '../../providers/host-sandbox/host-system.ts'
import { connectToDocker, describeConnection, dockerConnection } from '../../providers/docker/docker-connection.ts'
import type { ClientEnvironment } from '../../client/index.ts'
import { reasonOf } from './findings.ts'
import type { Finding } from './findings.ts'

const run = promisify(execFile)

/** The smallest sandbox of the kind that local makes: own processes, own mounts, no network. */
const bubblewrapProbe = [
  ...trialBinds,
  ...'--dev /dev --proc /proc --tmpfs /tmp --unshare-pid --unshare-net --clearenv /bin/true'.split(' '),
]

export async function examineLocal({ env }: ClientEnvironment): Promise<Finding[]> {
  const [name, provider] = ['bubblewrap', 'local'] as const
  try {
    const { stdout } = await run('bwrap', ['--version'], { env: { PATH: env['PATH'] } })
    await run('bwrap', bubblewrapProbe, { env: { PATH: env['PATH'] }, timeout: 10_000 })
    return [{ name, provider, state: 'ok', detail: `${stdout.trim()} makes sandboxes for --provider local` }]
  } catch (error) {
    return [{ name, provider, state: 'missing', ...bubblewrapFault(error) }]
  }
}

function bubblewrapFault(error: unknown): { detail: string; remedy: string } {
  if (error instanceof Error && 'code' in error && error.code === 'ENOENT') {
    return {
      detail: 'not installed: --provider local needs it',
      remedy:
        'apt-get install bubblewrap (or your system’s package); --unsafe-local runs in namespaces that do not keep a process in',
    }
  }
  const said = error instanceof Error && 'stderr' in error ? String(error.stderr).trim() : reasonOf(error)
  return {
    detail: `cannot make a sandbox: ${said}`,
    remedy: 'allow unprivileged user namespaces, run as root, or use --provider docker',
  }
}

export async function examineDocker({ env }: ClientEnvironment): Promise<Finding[]> {
  const [name, provider] = ['Docker', 'docker'] as const
  const connection = dockerConnection(env['DOCKER_HOST'])
  const where = describeConnection(connection)
  try {
    const info: EngineInfo = await connectToDocker(connection).calls.info()
    const detail = `Engine ${info.ServerVersion} at ${where}, cgroup v${info.CgroupVersion ?? '1'}, storage ${info.Driver}`
    return [{ name, provider, state: 'ok', detail }]
  } catch (error) {
    const detail = `no Engine answers at ${where}: ${reasonOf(error)}`
    const remedy = 'start Docker, add this user to its group, or set DOCKER_HOST; --provider local needs no Docker'
    return [{ name, provider, state: 'missing', detail, remedy }]
  }
}

/** The part of the Engine's own description that is shown. */
interface EngineInfo {
  readonly ServerVersion: string
  readonly CgroupVersion?: string
  readonly Driver: string
}
