import type { Problem } from '../providers/contract/provider.ts'
import type { ImageSource, Network, Resources } from '../providers/contract/runtime.ts'
import type { HarborEnvironment, HarborTaskFile } from './harbor-schema.ts'
import { shownValue } from './problems.ts'
import type { TaskRuntime } from './task.ts'

/** `[environment]` as a runtime. Fields that contradict each other are problems, found by `runtimeContradictions`. */
export function runtimeOf(file: HarborTaskFile, image: ImageSource): TaskRuntime {
  const environment = file.environment ?? {}
  return {
    image,
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
  const stated = environment.network_mode ?? legacy
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

/** Pairs of fields that say different things, and fields that make no sense without another. */
export function runtimeContradictions(file: HarborTaskFile): Problem[] {
  const environment = file.environment ?? {}
  const { memory, storage, allow_internet: allowInternet, network_mode: mode } = environment
  return [
    ...oneSize('memory', memory, environment.memory_mb),
    ...oneSize('storage', storage, environment.storage_mb),
    ...problemIf(allowInternet !== undefined && mode !== undefined && legacyNetworkMode(allowInternet) !== mode, {
      field: 'environment.allow_internet',
      value: shownValue(allowInternet),
      expected: `nothing else than environment.network_mode, which is ${shownValue(mode)}; remove the deprecated one`,
    }),
    ...problemIf(mode === 'allowlist' && !environment.allowed_hosts?.length, {
      field: 'environment.allowed_hosts',
      value: shownValue(environment.allowed_hosts ?? []),
      expected: 'at least one host when network_mode is "allowlist"',
    }),
    ...problemIf(mode !== 'allowlist' && Boolean(environment.allowed_hosts?.length), {
      field: 'environment.allowed_hosts',
      value: shownValue(environment.allowed_hosts),
      expected: 'none unless environment.network_mode is "allowlist"',
    }),
    ...problemIf(Boolean(environment.gpu_types?.length) && !environment.gpus, {
      field: 'environment.gpu_types',
      value: shownValue(environment.gpu_types),
      expected: 'none unless environment.gpus is 1 or more',
    }),
  ]
}

function oneSize(name: string, legacy: string | undefined, current: number | undefined): Problem[] {
  return problemIf(legacy !== undefined && current !== undefined && mebibytes(legacy) !== current, {
    field: `environment.${name}`,
    value: shownValue(legacy),
    expected: `the same as environment.${name}_mb, which is ${current}; remove the deprecated one`,
  })
}

function problemIf(condition: boolean, problem: Problem): Problem[] {
  return condition ? [problem] : []
}
