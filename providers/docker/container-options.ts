import type { ContainerCreateOptions, HostConfig } from 'dockerode'
import { RollcallError } from '../../protocol/failure.ts'
import { supervisorArgv, type RunnerPlaces } from '../../runner/scripts.ts'
import type { CreateRequest } from '../contract/provider.ts'
import type { Mount, Resources, SandboxSpec } from '../contract/runtime.ts'
import { labelsOf, type SandboxPlace } from './docker-labels.ts'
import { hiddenProgram, type HiddenProgram } from './hidden-program.ts'
import { imageCommand } from './image-command.ts'
import type { ResolvedImage } from './image-resolver.ts'

/** The journal is on tmpfs, which is charged to the container's memory and so must stay small; output is on its disk. */
export const runnerPlaces: RunnerPlaces = { journalDir: '/.rollcall/journal', outputDir: '/.rollcall/output' }

const journalMiB = 16
const defaultPids = 4096
const bytesPerMiB = 1024 * 1024

/** On the container's own disk: made when its main process begins. */
export const startedMark = '/.rollcall/started'

/** Main process's exit code when its container is started a second time. */
const startedTwiceExitCode = 75

function placeOf(spec: SandboxSpec, image: ResolvedImage): SandboxPlace {
  const user = spec.user ?? image.user
  return { workdir: spec.workdir ?? image.workdir, ...(user !== undefined && { user }) }
}

/**
 * The container of an order. Process 1 is the Engine's init, which reaps; below it the runner's supervisor as root; below
 * that what the image would have run. A working directory that is missing is made by the Engine.
 *
 * Owners of mounted files are the host's numbers: uid 1000 inside is uid 1000 of the host, or the matching subordinate
 * uid where the Engine runs with userns-remap. The Engine's API has no mapping of its own for each mount.
 *
 * @throws `secret-missing` when `spec.secrets` names one without a value.
 */
export function containerOptions(
  request: CreateRequest,
  image: ResolvedImage,
): ContainerCreateOptions & { name: string } {
  const { spec } = request
  const place = placeOf(spec, image)
  const main = mainProcess(spec, image)
  return {
    name: request.name,
    Image: image.id,
    Entrypoint: main.argv,
    Cmd: [],
    User: '0',
    WorkingDir: place.workdir,
    Env: [...environment(request), ...main.env],
    Labels: labelsOf(request.ownership, place),
    AttachStdin: false,
    AttachStdout: false,
    AttachStderr: false,
    HostConfig: hostConfig(spec),
  }
}

/**
 * A container that is started again has lost its journal with the tmpfs, and would run commands a second time. The
 * directory on its own disk is the memory that it has run before: then it ends at once, and counts as dead.
 */
function mainProcess(spec: SandboxSpec, image: ResolvedImage): HiddenProgram {
  const child = imageCommand(image)
  const { lifetimeMs } = spec.limits
  const supervisor = supervisorArgv({ ...runnerPlaces, lifetimeMs, ...(child && { child }) })
  return hiddenProgram(supervisor, `mkdir ${startedMark} || exit ${startedTwiceExitCode}`)
}

function hostConfig(spec: SandboxSpec): HostConfig {
  return {
    Init: true,
    ...limitsOf(spec.resources),
    NetworkMode: spec.network.mode === 'none' ? 'none' : 'bridge',
    PublishAllPorts: false,
    ...(spec.noNewPrivileges && { SecurityOpt: ['no-new-privileges'] }),
    RestartPolicy: { Name: 'no' },
    LogConfig: { Type: 'json-file', Config: { 'max-size': '1m', 'max-file': '1' } },
    Tmpfs: { [runnerPlaces.journalDir]: `rw,exec,nosuid,nodev,size=${journalMiB}m,mode=0700` },
    Mounts: spec.mounts.map(bindMount),
  }
}

function limitsOf(resources: Resources): HostConfig {
  const { cpus, memoryMiB, pids, gpus } = resources
  const memory = memoryMiB === undefined ? undefined : memoryMiB * bytesPerMiB
  return {
    PidsLimit: pids ?? defaultPids,
    ...(cpus !== undefined && { NanoCpus: Math.round(cpus * 1e9) }),
    ...(memory !== undefined && { Memory: memory, MemorySwap: memory }),
    ...(gpus !== undefined &&
      gpus.count > 0 && {
        DeviceRequests: [{ Driver: 'nvidia', Count: gpus.count, Capabilities: [['gpu']] }],
      }),
  }
}

function bindMount(mount: Mount): NonNullable<HostConfig['Mounts']>[number] {
  return { Type: 'bind', Source: mount.source, Target: mount.target, ReadOnly: mount.readOnly }
}

function environment(request: CreateRequest): string[] {
  const secrets = request.spec.secrets.map((name): [string, string] => {
    const value = request.secrets[name]
    if (value !== undefined) return [name, value]
    throw new RollcallError('secret-missing', `Secret ${name}: expected in the worker's environment; set it there.`)
  })
  return [...Object.entries(request.spec.env), ...secrets].map(([name, value]) => `${name}=${value}`)
}
