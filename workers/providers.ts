import { RollcallError } from '../protocol/failure.ts'
import type { Provider } from '../providers/contract/provider.ts'
import type { WorkerConfig } from './config.ts'
import { modalSettingNames, modalSettings } from '../providers/modal/modal-settings.ts'
import { sshPlace, sshSettings } from '../providers/ssh/ssh-settings.ts'

type Options = Readonly<Record<string, string>>
type Config = Pick<WorkerConfig, 'env' | 'stateDirectory'>
type Factory = (options: Options, config: Config) => Promise<Provider>

interface Entry {
  readonly settings: readonly string[]
  /** It is nowhere until its settings, or credentials that few have, say where. */
  readonly needsSettings?: boolean
  readonly create: Factory
}

/** Every provider by name, with the settings it takes. An adapter is loaded only when it is used. */
const providers: Readonly<Record<string, Entry>> = {
  local: { settings: ['network', 'unsafe', 'limits'], create: createLocal },
  docker: { settings: ['socket', 'limits'], create: createDocker },
  ssh: { settings: sshSettings, needsSettings: true, create: createSsh },
  modal: { settings: modalSettingNames, needsSettings: true, create: createModal },
  fake: { settings: ['faults', 'limits'], create: createFake },
}

export const providerNames = Object.keys(providers)

/** Those that are somewhere without being told: what a worker serves and sweeps by itself. */
export const providersHere = providerNames.filter((name) => providers[name]?.needsSettings !== true)

/** One provider per name and settings, however many ask. */
export interface Providers {
  provider(name: string, options: Options): Promise<Provider>
  close(): Promise<void>
}

export function createProviders(config: Config): Providers {
  const made = new Map<string, Promise<Provider>>()
  return {
    provider: (name, options) => {
      const key = JSON.stringify([name, Object.entries(options).toSorted(([a], [b]) => a.localeCompare(b))])
      const provider = made.get(key) ?? createProvider({ name, options }, config)
      made.set(key, provider)
      return provider
    },
    close: async () => {
      const settled = await Promise.allSettled(made.values())
      for (const result of settled) if (result.status === 'fulfilled') await result.value.close()
    },
  }
}

async function createProvider(wanted: { name: string; options: Options }, config: Config): Promise<Provider> {
  const entry = providers[wanted.name]
  if (entry === undefined) {
    throw new RollcallError(
      'configuration-invalid',
      `Provider is ${JSON.stringify(wanted.name)}: expected one of ${providerNames.join(', ')}`,
    )
  }
  const unknown = Object.keys(wanted.options).find((name) => !entry.settings.includes(name))
  if (unknown !== undefined) {
    throw new RollcallError(
      'configuration-invalid',
      `Provider ${wanted.name} has no setting ${JSON.stringify(unknown)}: expected one of ${entry.settings.join(', ')}`,
    )
  }
  return await entry.create(wanted.options, config)
}

async function createLocal(options: Options, { stateDirectory }: Config): Promise<Provider> {
  const { createLocalProvider } = await import('../providers/local/local-provider.ts')
  return createLocalProvider({
    stateDirectory,
    allowNetwork: flag(options, 'network'),
    unsafe: flag(options, 'unsafe'),
    ignoreLimits: ignoresLimits(options),
  })
}

async function createDocker(options: Options, { stateDirectory, env }: Config): Promise<Provider> {
  const { createDockerProvider } = await import('../providers/docker/docker-provider.ts')
  const { dockerConnection } = await import('../providers/docker/docker-connection.ts')
  return createDockerProvider({
    connection: dockerConnection(options['socket'] ?? env['DOCKER_HOST']),
    stateDirectory,
    ignoreLimits: ignoresLimits(options),
  })
}

async function createSsh(options: Options, { stateDirectory, env }: Config): Promise<Provider> {
  const { createSshProvider } = await import('../providers/ssh/ssh-provider.ts')
  return createSshProvider({
    ...(await sshPlace(options, { stateDirectory, env })),
    allowNetwork: flag(options, 'network'),
    ignoreLimits: ignoresLimits(options),
  })
}

async function createModal(options: Options, { env }: Config): Promise<Provider> {
  const { createModalProvider } = await import('../providers/modal/modal-provider.ts')
  return await createModalProvider(modalSettings(options, env))
}

async function createFake(options: Options, { stateDirectory }: Config): Promise<Provider> {
  const { createFakeProvider } = await import('../providers/fake/fake-provider.ts')
  const { faultScriptFile } = await import('../providers/fake/faults.ts')
  const faults = options['faults']
  return createFakeProvider({
    stateDirectory,
    ignoreLimits: ignoresLimits(options),
    ...(faults === undefined ? {} : { script: faultScriptFile(faults) }),
  })
}

function ignoresLimits(options: Options): boolean {
  return choice(options, 'limits', ['enforce', 'ignore']) === 'ignore'
}

function flag(options: Options, name: string): boolean {
  return choice(options, name, ['true', 'false']) === 'true'
}

function choice(options: Options, name: string, allowed: readonly string[]): string | undefined {
  const value = options[name]
  if (value === undefined || allowed.includes(value)) return value
  throw new RollcallError(
    'configuration-invalid',
    `Provider setting ${name} is ${JSON.stringify(value)}: expected ${allowed.join(' or ')}`,
  )
}
