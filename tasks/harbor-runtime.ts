import type { Problem } from '../providers/contract/provider.ts'
import type { Network, Resources } from '../providers/contract/runtime.ts'
import type { HarborEnvironment, HarborTaskFile } from './harbor-schema.ts'
import { shownValue } from './problems.ts'
import type { TaskRuntime } from './task.ts'

/** `[environment]`, or a verifier's, as a runtime. Fields that contradict each other are found by `runtimeContradictions`. */
export function runtimeOf(
  environment: HarborEnvironment,
  images: Pick<TaskRuntime, 'image' | 'dockerfile'>,
): TaskRuntime {
  return {
    ...images,
    resources: resourcesOf(environment),
    limits: environment.build_timeout_sec ? { startTimeoutMs: milliseconds(environment.build_timeout_sec) } : {},
    ...networkOf(environment),
    env: environment.env ?? {},
    mounts: [],
    ...(environment.workdir === undefined ? {} : { workdir: environment.workdir }),
  }
}

export function milliseconds(seconds: number): number {
  return Math.ceil(seconds * 1000)
}

function resourcesOf(environment: HarborEnvironment): Resources {
  const memoryMiB = environment.memory_mb ?? mebibytes(environment.memory)
  const storageMiB = environment.storage_mb ?? mebibytes(environment.storage)
  const types = environment.gpu_types?.length ? { types: environment.gpu_types } : {}
  return {
    ...(environment.cpus === undefined ? {} : { cpus: environment.cpus }),
    ...(memoryMiB === undefined ? {} : { memoryMiB }),
    ...(storageMiB === undefined ? {} : { storageMiB }),
    ...(environment.gpus ? { gpus: { count: environment.gpus, ...types } } : {}),
  }
}

/** Harbor's default is the network; a task that does not state it has not asked for it (design §7). */
function networkOf(environment: HarborEnvironment): { network: Network; networkAsked: boolean } {
  const legacy = environment.allow_internet === undefined ? undefined : legacyNetworkMode(environment.allow_internet)
  const stated = environment.network_mode ?? (environment.allowed_hosts?.length ? 'allowlist' : legacy)
  if (stated === 'no-network') return { network: { mode: 'none' }, networkAsked: false }
  if (stated === 'allowlist') {
    return { network: { mode: 'allowlist', hosts: environment.allowed_hosts ?? [] }, networkAsked: true }
  }
  return { network: { mode: 'public' }, networkAsked: stated === 'public' }
}

function legacyNetworkMode(allowInternet: boolean): 'public' | 'no-network' {
  return allowInternet ? 'public' : 'no-network'
}

const mebibytesPer = { K: 1 / 1024, M: 1, G: 1024, T: 1024 ** 2 }

/** The legacy `"2G"` in mebibytes, rounded up. */
function mebibytes(size: string | undefined): number | undefined {
  const [, amount, unit] = /^([\d.]+)\s*([KMGT])/i.exec(size ?? '') ?? []
  const factor = Object.entries(mebibytesPer).find(([name]) => name === unit?.toUpperCase())?.[1]
  return factor === undefined ? undefined : Math.max(1, Math.ceil(Number(amount) * factor))
}

/** Every `[environment]` of the file with where it stands. */
export function environmentsOf(file: HarborTaskFile): [field: string, environment: HarborEnvironment][] {
  const places: [string, HarborEnvironment | undefined][] = [
    ['environment', file.environment],
    ['verifier.environment', file.verifier?.environment],
    ...(file.steps ?? []).map(({ verifier }, index): [string, HarborEnvironment | undefined] => [
      `steps[${index}].verifier.environment`,
      verifier?.environment,
    ]),
  ]
  return places.flatMap(([field, environment]) => (environment === undefined ? [] : [[field, environment]]))
}

/** Pairs of fields that say different things, and fields that make no sense without another. */
export function runtimeContradictions(file: HarborTaskFile): Problem[] {
  return environmentsOf(file).flatMap(([field, environment]) =>
    contradictions(environment).map((problem) => ({ ...problem, field: `${field}.${problem.field}` })),
  )
}

function contradictions(environment: HarborEnvironment): Problem[] {
  const { memory, storage, allow_internet: allowInternet, network_mode: mode } = environment
  return [
    ...oneSize('memory', memory, environment.memory_mb),
    ...oneSize('storage', storage, environment.storage_mb),
    ...problemIf(allowInternet !== undefined && mode !== undefined && legacyNetworkMode(allowInternet) !== mode, {
      field: 'allow_internet',
      value: shownValue(allowInternet),
      expected: `nothing else than network_mode, which is ${shownValue(mode)}; remove the deprecated one`,
    }),
    ...hostProblems(environment),
    ...problemIf(Boolean(environment.gpu_types?.length) && !environment.gpus, {
      field: 'gpu_types',
      value: shownValue(environment.gpu_types),
      expected: 'none unless gpus is 1 or more',
    }),
  ]
}

/** Hosts without a mode mean an allowlist, as in Harbor. */
function hostProblems({
  network_mode: mode,
  allowed_hosts: hosts,
  allow_internet: legacy,
}: HarborEnvironment): Problem[] {
  const field = 'allowed_hosts'
  return [
    ...problemIf(mode === 'allowlist' && !hosts?.length, {
      field,
      value: shownValue(hosts ?? []),
      expected: 'at least one host when network_mode is "allowlist"',
    }),
    ...problemIf(Boolean(hosts?.length) && (mode ?? (legacy === false ? 'no-network' : 'allowlist')) !== 'allowlist', {
      field,
      value: shownValue(hosts),
      expected: 'none unless network_mode is "allowlist"',
    }),
  ]
}

function oneSize(name: string, legacy: string | undefined, current: number | undefined): Problem[] {
  return problemIf(legacy !== undefined && current !== undefined && mebibytes(legacy) !== current, {
    field: name,
    value: shownValue(legacy),
    expected: `the same as ${name}_mb, which is ${current}; remove the deprecated one`,
  })
}

export function problemIf(condition: boolean, problem: Problem): Problem[] {
  return condition ? [problem] : []
}
