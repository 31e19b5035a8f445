import { RollcallError } from '../../protocol/failure.ts'
import type { Capabilities, Provider } from '../contract/provider.ts'
import type { SandboxSpec } from '../contract/runtime.ts'
import { checkSpec } from './daytona-check.ts'
import { DaytonaAccount } from './daytona-account.ts'
import type { DaytonaAccess } from './daytona-settings.ts'
import { SandboxLifecycle } from './sandbox-lifecycle.ts'

export interface DaytonaProviderOptions {
  readonly access: DaytonaAccess
  /** `--provider-arg limits=ignore`: tasks that state pids run without that limit. Default false. */
  readonly ignoreLimits?: boolean
}

export const daytonaCapabilities: Capabilities = {
  durable: true,
  dockerfile: 'full',
  networkModes: ['public', 'none', 'allowlist'],
  resources: ['cpus', 'memoryMiB', 'storageMiB', 'gpus'],
  mounts: false,
  users: true,
  imageLayers: false,
}

/** Sandboxes of one organisation at Daytona, reached through the official SDK. */
export function createDaytonaProvider(options: DaytonaProviderOptions): Provider {
  const account = new DaytonaAccount(options.access)
  const lifecycle = new SandboxLifecycle(account)
  const ignoreLimits = options.ignoreLimits ?? false

  /** The account is asked first: a key that is refused must be known before anything starts. */
  async function check(spec: SandboxSpec) {
    await account.open()
    await account.place()
    return await checkSpec(spec, { ignoreLimits })
  }

  return {
    name: 'daytona',
    capabilities: daytonaCapabilities,
    place: () => account.place(),
    check,
    createOrAdopt: async (request) => {
      const problems = await checkSpec(request.spec, { ignoreLimits })
      if (problems.length === 0) return await lifecycle.createOrAdopt(request)
      const fields = problems.map(({ field, value, expected }) => `${field} (${value}): ${expected}`)
      throw new RollcallError('runtime-unsupported', `The daytona provider cannot honour ${fields.join('; ')}`)
    },
    find: (name) => lifecycle.find(name),
    connect: (name) => lifecycle.connect(name),
    destroy: (name) => lifecycle.destroy(name),
    list: (labels) => lifecycle.list(labels),
    close: () => account.close(),
  }
}
