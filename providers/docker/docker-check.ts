import { readFile } from 'node:fs/promises'
import { isAbsolute, join } from 'node:path'
import { posix } from 'node:path'
import { DockerfileParser } from 'dockerfile-ast'
import type { Problem } from '../contract/provider.ts'
import type { Mount, Resources, SandboxSpec } from '../contract/runtime.ts'

/** What of an Engine decides which orders it can honour. */
export interface EngineFacts {
  readonly cpus: number
  readonly memoryMiB: number
  readonly runtimes: readonly string[]
  /** Free where it keeps containers; absent where that cannot be seen, as of an Engine on another host. */
  readonly freeStorageMiB?: number
  /** `--provider-arg limits=ignore`: nobody looks whether there is the storage that tasks state. Default false. */
  readonly ignoreLimits?: boolean
}

/** Below this the Engine refuses, and the runner's journal alone is allowed 16 MiB. */
const leastMemoryMiB = 32

/** Every field of the order that this Engine cannot honour. */
export async function checkSpec(spec: SandboxSpec, engine: EngineFacts): Promise<Problem[]> {
  return [
    ...checkResources(spec.resources, engine),
    ...(spec.network.mode === 'allowlist' ? [allowlistProblem(spec.network.hosts)] : []),
    ...spec.mounts.flatMap(checkMount),
    ...checkPath('workdir', spec.workdir),
    ...checkEnvironment(spec),
    ...(await checkImage(spec)),
  ]
}

function checkResources(resources: Resources, engine: EngineFacts): Problem[] {
  const { cpus, memoryMiB, storageMiB, pids } = resources
  const problems = [
    outside('resources.cpus', cpus, { least: 0.01, most: engine.cpus, unit: 'CPUs, which is what this Engine has' }),
    outside('resources.memoryMiB', memoryMiB, {
      least: leastMemoryMiB,
      most: engine.memoryMiB,
      unit: 'MiB, which is what this Engine has',
    }),
    outside('resources.pids', pids, { least: 16, most: 4_194_304, unit: 'processes' }),
    storageMiB !== undefined && !engine.ignoreLimits && storageProblem(storageMiB, engine),
  ]
  return [...problems.filter((problem) => problem !== false && problem !== undefined), ...checkGpus(resources, engine)]
}

/** Storage is room that a task needs; the Engine has no limit per container that it could be held to. */
function storageProblem(storageMiB: number, { freeStorageMiB: free }: EngineFacts): Problem | undefined {
  if (free !== undefined && storageMiB <= free) return undefined
  const room =
    free === undefined
      ? 'an Engine on this host, since how much storage another one has free cannot be seen'
      : `at most ${free} MiB, which is what is free where this Engine keeps containers`
  const expected = `${room}; run without looking by --provider-arg limits=ignore.`
  return { field: 'resources.storageMiB', value: String(storageMiB), expected }
}

function checkGpus({ gpus }: Resources, engine: EngineFacts): Problem[] {
  if (gpus === undefined || gpus.count === 0) return []
  if (!engine.runtimes.includes('nvidia')) {
    const expected =
      'An Engine with the nvidia runtime, or no GPU; install nvidia-container-toolkit or use another provider.'
    return [{ field: 'resources.gpus', value: String(gpus.count), expected }]
  }
  if (gpus.types === undefined || gpus.types.length === 0) return []
  const expected = 'No types: the Engine cannot choose GPUs by type; leave the field out.'
  return [{ field: 'resources.gpus.types', value: gpus.types.join(', '), expected }]
}

interface Range {
  readonly least: number
  readonly most: number
  readonly unit: string
}

function outside(field: string, value: number | undefined, { least, most, unit }: Range): Problem | undefined {
  if (value === undefined || (value >= least && value <= most)) return undefined
  return { field, value: String(value), expected: `Between ${least} and ${most} ${unit}.` }
}

function allowlistProblem(hosts: readonly string[]): Problem {
  const expected = 'public or none: the Engine cannot filter by host; choose one of these or another provider.'
  return { field: 'network', value: `allowlist ${hosts.join(', ')}`, expected }
}

function checkMount(mount: Mount, index: number): Problem[] {
  const problems: Problem[] = []
  if (!isAbsolute(mount.source)) {
    const expected = 'An absolute path on the host of the Engine.'
    problems.push({ field: `mounts[${index}].source`, value: mount.source, expected })
  }
  return [...problems, ...checkPath(`mounts[${index}].target`, mount.target)]
}

function checkPath(field: string, path: string | undefined): Problem[] {
  if (path === undefined) return []
  if (!posix.isAbsolute(path)) return [{ field, value: path, expected: 'An absolute path in the sandbox.' }]
  const isOurs = posix.normalize(`${path}/`).startsWith('/.rollcall/')
  return isOurs ? [{ field, value: path, expected: 'A path outside /.rollcall, which is the runner’s.' }] : []
}

function checkEnvironment({ env, secrets }: SandboxSpec): Problem[] {
  const expected = 'A name of letters, digits and underscores that does not begin with a digit.'
  const isBad = (name: string) => !/^[A-Za-z_][A-Za-z0-9_]*$/.test(name)
  return [
    ...Object.keys(env)
      .filter(isBad)
      .map((name) => ({ field: 'env', value: name, expected })),
    ...secrets.filter(isBad).map((name) => ({ field: 'secrets', value: name, expected })),
  ]
}

async function checkImage({ image }: SandboxSpec): Promise<Problem[]> {
  if (image.type === 'name' && !/^[\w.:/@-]+$/.test(image.name)) {
    return [{ field: 'image', value: image.name, expected: 'An image name like registry/name:tag.' }]
  }
  if (image.type !== 'dockerfile') return []
  const path = join(image.directory, 'Dockerfile')
  const text = await readFile(path, 'utf8').catch(() => undefined)
  if (text === undefined) return [{ field: 'image', value: path, expected: 'A readable Dockerfile at this path.' }]
  if (DockerfileParser.parse(text).getFROMs().length > 0) return []
  const [first = 'empty'] = text.split('\n').filter((line) => !/^\s*(#|$)/.test(line))
  return [{ field: 'environment/Dockerfile', value: first.trim(), expected: 'A FROM line; there is none.' }]
}
