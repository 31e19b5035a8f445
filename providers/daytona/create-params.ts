import { RollcallError } from '../../protocol/failure.ts'
import type { CreateRequest } from '../contract/provider.ts'
import type { Network, Resources } from '../contract/runtime.ts'
import { gpuTypes, isNetwork } from './daytona-check.ts'
import { labelsOf } from './daytona-labels.ts'
import type { CreateSandboxFromImageParams, CreateSandboxFromSnapshotParams } from './daytona-sdk.ts'
import type { DaytonaAccess } from './daytona-settings.ts'
import { describeImage, snapshotName } from './image-source.ts'

type BaseParams = Omit<CreateSandboxFromSnapshotParams, 'snapshot'> & Pick<CreateSandboxFromImageParams, 'resources'>

const minuteMs = 60_000
/** Daytona's own end comes this much after the runner's, which says why. */
const graceMinutes = 5

/**
 * Everything of a creation but its image. Fresh with every call: the SDK writes into what it is given. Labels come with
 * the creation itself, so that whatever happens next, it is known whose it is.
 *
 * Daytona's three clocks are set beyond the lifetime that the runner keeps inside: stopping for idleness, which sees only
 * what comes from outside and so would stop a long quiet command; the end of everything, counted from the creation, in
 * which an image may be built; and deletion of what has stopped, at once.
 */
export function createParams(request: CreateRequest, access: DaytonaAccess): BaseParams {
  const { name, spec, ownership } = request
  const { lifetimeMs, startTimeoutMs } = spec.limits
  const { workdir } = spec
  const minutes = Math.ceil((lifetimeMs + startTimeoutMs) / minuteMs) + graceMinutes
  return {
    name,
    user: 'root',
    public: false,
    labels: labelsOf(ownership, {
      image: describeImage(spec),
      lifetimeMs,
      ...(workdir !== undefined && { workdir }),
    }),
    envVars: { ...spec.env },
    autoStopInterval: minutes,
    ttlMinutes: minutes,
    ephemeral: true,
    ...networkParams(spec.network),
    ...(access.secrets !== undefined && { secrets: { ...access.secrets } }),
    ...(snapshotName(spec.image) === undefined && { resources: resourceParams(spec.resources) }),
  }
}

function networkParams(network: Network): Pick<BaseParams, 'networkBlockAll' | 'networkAllowList' | 'domainAllowList'> {
  if (network.mode === 'public') return {}
  if (network.mode === 'none') return { networkBlockAll: true }
  const networks = network.hosts.filter(isNetwork).map((host) => (host.includes('/') ? host : `${host}/32`))
  const domains = network.hosts.filter((host) => !isNetwork(host))
  return {
    ...(networks.length > 0 && { networkAllowList: networks.join(',') }),
    ...(domains.length > 0 && { domainAllowList: domains.join(',') }),
  }
}

function resourceParams({ cpus, memoryMiB, storageMiB, gpus }: Resources): NonNullable<BaseParams['resources']> {
  const types = gpuTypes.filter((type) => gpus?.types?.includes(type))
  return {
    ...(cpus !== undefined && { cpu: cpus }),
    ...(memoryMiB !== undefined && { memory: memoryMiB / 1024 }),
    ...(storageMiB !== undefined && { disk: storageMiB / 1024 }),
    ...(gpus !== undefined && gpus.count > 0 && { gpu: gpus.count }),
    ...(types.length > 0 && { gpuType: types }),
  }
}

/**
 * Lines of shell that set the order's variables and secrets. They travel as a file, so that no secret stands in what
 * Daytona tells of a sandbox. @throws `secret-missing`
 */
export function variablesScript({ spec, secrets }: CreateRequest): string {
  const values = spec.secrets.map((name): [string, string] => {
    const value = secrets[name]
    if (value !== undefined) return [name, value]
    throw new RollcallError('secret-missing', `Secret ${name}: expected in the worker's environment; set it there.`)
  })
  const quoted = (text: string): string => `'${text.replaceAll("'", String.raw`'\''`)}'`
  return [...Object.entries(spec.env), ...values].map(([name, value]) => `export ${name}=${quoted(value)}\n`).join('')
}
