import { posix } from 'node:path'
import type { Problem } from '../contract/provider.ts'
import type { Resources, SandboxSpec } from '../contract/runtime.ts'
import { planDockerfile } from './dockerfile-commands.ts'
import type { ModalSettings } from './modal-settings.ts'

/** What Modal gives one sandbox at most (modal.com/docs/guide/resources and /gpu). */
const mostCpus = 64
const mostMemoryMiB = 344_064
const longestLifetimeMs = 24 * 3_600_000

/** GPU types by name, with how many of them one sandbox may have. */
const gpuTypes: Readonly<Record<string, number>> = {
  T4: 8,
  L4: 8,
  A10: 4,
  A10G: 4,
  L40S: 8,
  A100: 8,
  'A100-40GB': 8,
  'A100-80GB': 8,
  'RTX-PRO-6000': 8,
  H100: 8,
  'H100!': 8,
  H200: 8,
  B200: 8,
}

/** Every field of the order that Modal cannot honour, or that its SDK has no way to ask for. */
export async function checkSpec(spec: SandboxSpec, settings: ModalSettings): Promise<Problem[]> {
  return [
    ...checkResources(spec.resources, settings),
    ...checkGpus(spec.resources, settings),
    ...checkLimits(spec.limits),
    ...spec.mounts.map(({ source }, index) => ({
      field: `mounts[${index}]`,
      value: source,
      expected: 'No mounts: a directory of a host is not on Modal; put the files into the image.',
    })),
    ...checkWorkdir(spec.workdir),
    ...checkNames(spec),
    ...(await checkImage(spec)),
  ]
}

function checkResources({ cpus, memoryMiB, storageMiB, pids }: Resources, settings: ModalSettings): Problem[] {
  return [
    ...outside('resources.cpus', cpus, { least: 0.125, most: mostCpus, unit: 'CPUs' }),
    ...outside('resources.memoryMiB', memoryMiB, { least: 128, most: mostMemoryMiB, unit: 'MiB' }),
    ...(settings.ignoreLimits ? [] : [...without('storageMiB', storageMiB), ...without('pids', pids)]),
  ]
}

function outside(
  field: string,
  value: number | undefined,
  { least, most, unit }: { least: number; most: number; unit: string },
): Problem[] {
  if (value === undefined || (value >= least && value <= most)) return []
  return [{ field, value: String(value), expected: `Between ${least} and ${most} ${unit}, which is what Modal gives.` }]
}

function without(field: string, value: number | undefined): Problem[] {
  if (value === undefined) return []
  const expected = 'No limit, since Modal’s SDK has none for a sandbox; run without it by --provider-arg limits=ignore.'
  return [{ field: `resources.${field}`, value: String(value), expected }]
}

function checkGpus({ gpus }: Resources, settings: ModalSettings): Problem[] {
  if (gpus === undefined || gpus.count === 0) return []
  const asked = gpus.types ?? []
  const type = gpuType(gpus, settings)
  if (type === undefined) {
    const expected = `One of ${Object.keys(gpuTypes).join(', ')}${asked.length === 0 ? ', by --provider-arg gpu=TYPE or the task' : ''}.`
    return [{ field: 'resources.gpus.types', value: asked.join(', ') || 'none', expected }]
  }
  const most = gpuTypes[type] ?? 0
  if (Number.isInteger(gpus.count) && gpus.count <= most) return []
  return [{ field: 'resources.gpus.count', value: String(gpus.count), expected: `At most ${most} of ${type}.` }]
}

/** The first that Modal has of the types that a task accepts. @returns undefined when there is none */
export function gpuType(gpus: NonNullable<Resources['gpus']>, settings: ModalSettings): string | undefined {
  const asked = gpus.types ?? []
  const accepted = asked.length > 0 ? asked : settings.gpu === undefined ? [] : [settings.gpu]
  return accepted.map((type) => type.toUpperCase()).find((type) => gpuTypes[type] !== undefined)
}

function checkLimits({ lifetimeMs, idleTimeoutMs }: SandboxSpec['limits']): Problem[] {
  const expected = `At most ${longestLifetimeMs} ms (24 h), which is as long as a sandbox on Modal may live.`
  const tooLong = (field: string, value: number | undefined): Problem[] =>
    value !== undefined && value > longestLifetimeMs ? [{ field, value: String(value), expected }] : []
  return [...tooLong('limits.lifetimeMs', lifetimeMs), ...tooLong('limits.idleTimeoutMs', idleTimeoutMs)]
}

function checkWorkdir(path: string | undefined): Problem[] {
  if (path === undefined) return []
  if (!posix.isAbsolute(path)) return [{ field: 'workdir', value: path, expected: 'An absolute path in the sandbox.' }]
  if (!posix.normalize(`${path}/`).startsWith('/.rollcall/')) return []
  return [{ field: 'workdir', value: path, expected: 'A path outside /.rollcall, which is the runner’s.' }]
}

function checkNames({ env, secrets, network }: SandboxSpec): Problem[] {
  const expected = 'A name of letters, digits and underscores that does not begin with a digit.'
  const isBad = (name: string) => !/^[A-Za-z_][A-Za-z0-9_]*$/.test(name)
  const named = (field: string, names: readonly string[]): Problem[] =>
    names.filter(isBad).map((value) => ({ field, value, expected }))
  const hosts = network.mode === 'allowlist' ? network.hosts : []
  return [
    ...named('env', Object.keys(env)),
    ...named('secrets', secrets),
    ...hosts
      .filter((host) => !/^[A-Za-z0-9*:._/-]+$/.test(host))
      .map((value) => ({ field: 'network.hosts', value, expected: 'A host name, *.host name, address or network.' })),
  ]
}

async function checkImage({ image, imageMap }: SandboxSpec): Promise<Problem[]> {
  if (image.type === 'name' && !/^[\w.:/@-]+$/.test(image.name)) {
    return [{ field: 'image', value: image.name, expected: 'An image name like registry/name:tag or modal://name.' }]
  }
  if (image.type !== 'dockerfile') return []
  try {
    return [...(await planDockerfile(image.directory, imageMap)).problems]
  } catch (error) {
    const expected = `A readable Dockerfile at this path (${error instanceof Error ? error.message : String(error)}).`
    return [{ field: 'image', value: `${image.directory}/Dockerfile`, expected }]
  }
}
