import { randomBytes } from 'node:crypto'
import { readdirSync, readFileSync } from 'node:fs'
import type Docker from 'dockerode'
import type { Container, ContainerCreateOptions } from 'dockerode'
import { dockerError, isConflict, isNotFound } from './docker-errors.ts'

/** What must be known of a container to end it without the Engine's help. */
export interface KnownContainer {
  readonly id: string
  readonly name: string
  readonly imageId: string
  readonly labels: Readonly<Record<string, string>>
}

/** How long the killing container may take to start and look through the host's processes. */
const killerTimeoutMs = 30_000

/**
 * Kills every process of a container from outside of it. A root inside that stops (SIGSTOP) all it sees stops also the
 * first process of each exec, before the Engine is done with it; the Engine then holds the container's lock, and neither
 * inspects nor kills nor removes it any more. With the processes dead it lets go.
 *
 * The worker does it itself where it sees them and may, else a container of the same image does, for a moment.
 * Processes are told by their control group, which holds the container's id and which they cannot change.
 */
export async function killFromOutside(docker: Docker, container: KnownContainer): Promise<void> {
  if (killHere(container.id) === 'killed') return
  await killByContainer(docker, container)
}

/** Sees processes only on the Engine's own host, and may kill them only as root. */
function killHere(id: string): 'killed' | 'not-possible' {
  let result: 'killed' | 'not-possible' = 'not-possible'
  for (const pid of processes()) {
    try {
      if (!readFileSync(`/proc/${pid}/cgroup`, 'utf8').includes(id)) continue
      process.kill(pid, 'SIGKILL')
      result = 'killed'
    } catch {
      // It has ended meanwhile, or is another user's.
    }
  }
  return result
}

function processes(): number[] {
  try {
    return readdirSync('/proc').map(Number).filter(Number.isInteger)
  } catch {
    return []
  }
}

/** Exported for its test. @throws RollcallError `provider-unavailable` and what creating a container throws */
export async function killByContainer(docker: Docker, container: KnownContainer): Promise<void> {
  const abortSignal = AbortSignal.timeout(killerTimeoutMs)
  try {
    const killer = await docker.createContainer({ ...killerOptions(container), abortSignal })
    try {
      await killer.start({ abortSignal })
      await killer.wait({ condition: 'removed', abortSignal })
    } catch (error) {
      if (!isNotFound(error)) throw error
    } finally {
      await discard(killer)
    }
  } catch (error) {
    throw dockerError(`end the processes of the container ${container.name}`, error)
  }
}

/**
 * It carries the labels of the container it ends, so that a sweep finds one whose worker has died, and can do nothing but
 * look and kill: no network, no mounts, nothing to write to, one capability.
 */
function killerOptions(container: KnownContainer): ContainerCreateOptions {
  return {
    name: `${container.name}-end-${randomBytes(4).toString('hex')}`,
    Image: container.imageId,
    Entrypoint: ['sh', '-c', killScript, 'rollcall-end', container.id],
    Cmd: [],
    User: '0',
    WorkingDir: '/',
    Labels: { ...container.labels },
    Healthcheck: { Test: ['NONE'] },
    HostConfig: {
      AutoRemove: true,
      PidMode: 'host',
      UsernsMode: 'host',
      NetworkMode: 'none',
      CapDrop: ['ALL'],
      CapAdd: ['KILL'],
      SecurityOpt: ['no-new-privileges'],
      ReadonlyRootfs: true,
      PidsLimit: 16,
      LogConfig: { Type: 'none', Config: {} },
    },
  }
}

const killScript = `for f in /proc/[0-9]*; do
  while read -r line; do
    case $line in *"$1"*) kill -9 "\${f#/proc/}"; break ;; esac
  done <"$f/cgroup"
done 2>/dev/null`

async function discard(container: Container): Promise<void> {
  try {
    await container.remove({ force: true, v: true })
  } catch (error) {
    if (!isNotFound(error) && !isConflict(error)) throw error
  }
}
