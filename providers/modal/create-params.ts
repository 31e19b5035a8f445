import type { SandboxCreateParams, Secret } from 'modal'
import { RollcallError } from '../../protocol/failure.ts'
import type { CreateRequest } from '../contract/provider.ts'
import type { Network } from '../contract/runtime.ts'
import { gpuType } from './modal-check.ts'
import type { ModalImage } from './modal-images.ts'
import type { ModalSettings } from './modal-settings.ts'
import { tagsOf, type SandboxPlace } from './modal-tags.ts'
import { mainProgram } from './runner-programs.ts'

const longestTimeoutMs = 24 * 3_600_000

/** The runner ends a sandbox at its lifetime; that Modal does so a little later is for a root inside that ended it. */
const lifetimeMarginMs = 10_000

/** What Modal is asked for. @throws `secret-missing` when `spec.secrets` names one without a value */
export function createParams(
  request: CreateRequest,
  image: ModalImage,
  { settings, secrets }: { settings: ModalSettings; secrets: readonly Secret[] },
): SandboxCreateParams {
  const { name, spec, ownership } = request
  const { cpus, memoryMiB, gpus } = spec.resources
  const { lifetimeMs, idleTimeoutMs } = spec.limits
  const main = mainProgram(spec, image.child)
  const gpu = gpus !== undefined && gpus.count > 0 ? gpuType(gpus, settings) : undefined
  const user = spec.user ?? image.user
  const place: SandboxPlace = {
    name,
    image: image.name,
    createdMs: Date.now(),
    ...(spec.workdir !== undefined && { workdir: spec.workdir }),
    ...(user !== undefined && { user }),
  }
  return {
    name,
    tags: tagsOf({ ownership, place }),
    command: main.command,
    env: { ...spec.env, ...secretValues(request), ...main.env },
    secrets: [...secrets],
    timeoutMs: Math.min(wholeSeconds(lifetimeMs + lifetimeMarginMs), longestTimeoutMs),
    ...(idleTimeoutMs !== undefined && { idleTimeoutMs: wholeSeconds(idleTimeoutMs) }),
    ...(cpus !== undefined && { cpu: cpus, cpuLimit: cpus }),
    ...(memoryMiB !== undefined && { memoryMiB, memoryLimitMiB: memoryMiB }),
    ...(gpu !== undefined && { gpu: `${gpu}:${gpus?.count}` }),
    ...(settings.regions !== undefined && { regions: [...settings.regions] }),
    ...(settings.cloud !== undefined && { cloud: settings.cloud }),
    ...networkParams(spec.network),
  }
}

function networkParams(network: Network): SandboxCreateParams {
  if (network.mode === 'public') return {}
  if (network.mode === 'none') return { blockNetwork: true }
  const ranges = network.hosts.filter(isAddress)
  return {
    // Given and empty: no address is allowed but those of the names.
    outboundCidrAllowlist: ranges.map((range) => (range.includes('/') ? range : `${range}${lengthOf(range)}`)),
    outboundDomainAllowlist: network.hosts.filter((host) => !isAddress(host)),
  }
}

function isAddress(host: string): boolean {
  return /^[\d.]+(\/\d+)?$/.test(host) || host.includes(':')
}

function lengthOf(address: string): string {
  return address.includes(':') ? '/128' : '/32'
}

function secretValues({ spec, secrets }: CreateRequest): Record<string, string> {
  return Object.fromEntries(
    spec.secrets.map((name) => {
      const value = secrets[name]
      if (value !== undefined) return [name, value]
      throw new RollcallError('secret-missing', `Secret ${name}: expected in the worker's environment; set it there.`)
    }),
  )
}

function wholeSeconds(ms: number): number {
  return Math.ceil(ms / 1000) * 1000
}
