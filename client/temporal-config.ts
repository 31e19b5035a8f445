import { loadClientConnectConfig } from '@temporalio/envconfig'
import type { ConnectionOptions } from '@temporalio/client'
import { RollcallError } from '../protocol/failure.ts'
import { ensureServer } from './server/server.ts'
import type { ServerOptions } from './server/server.ts'

/** Where Temporal is and how to speak to it; the same for a client's connection and a worker's. */
export interface TemporalEndpoint {
  readonly address: string
  readonly namespace: string
  readonly tls?: NonNullable<ConnectionOptions['tls']>
  readonly apiKey?: string
  /** Headers that go with every call. */
  readonly metadata?: NonNullable<ConnectionOptions['metadata']>
  /** Base address of the Temporal UI, when it is known. */
  readonly uiUrl?: string
  /** Whether this is the embedded server of the state directory. */
  readonly embedded: boolean
}

/**
 * The configured server (`TEMPORAL_ADDRESS`, or a profile of Temporal's own configuration file with an address), else
 * the embedded one, which is started when it does not run. `ROLLCALL_TEMPORAL_UI` names the UI of a configured server.
 * A configured server is not contacted. Throws `configuration-invalid` for settings that contradict each other.
 */
export async function resolveTemporal(options: ServerOptions): Promise<TemporalEndpoint> {
  const configured = configuredTemporal(options.env)
  if (configured) return configured
  const { address, namespace, uiUrl } = await ensureServer(options)
  return { address, namespace, uiUrl, embedded: true }
}

/** The server that the environment or a profile names; undefined when they name none. Starts and contacts nothing. */
export function configuredTemporal(env: ServerOptions['env']): TemporalEndpoint | undefined {
  const { connectionOptions, namespace } = loadProfile(env)
  const { address, tls, apiKey } = connectionOptions
  if (!address) {
    assertNothingNeedsAddress({ apiKey, namespace })
    return undefined
  }
  assertAddress(address)
  const uiUrl = env['ROLLCALL_TEMPORAL_UI']
  return {
    address,
    namespace: namespace ?? 'default',
    ...(tls ? { tls } : {}),
    ...(typeof apiKey === 'string' ? { apiKey } : {}),
    ...(connectionOptions.metadata ? { metadata: connectionOptions.metadata } : {}),
    ...(uiUrl ? { uiUrl } : {}),
    embedded: false,
  }
}

function loadProfile(env: ServerOptions['env']): ReturnType<typeof loadClientConnectConfig> {
  const defined = Object.entries(env).flatMap(([name, value]) => (value ? [[name, value] as const] : []))
  try {
    return loadClientConnectConfig({ overrideEnvVars: Object.fromEntries(defined) })
  } catch (error) {
    const reason = error instanceof Error ? error.message : String(error)
    throw new RollcallError(
      'configuration-invalid',
      `The Temporal configuration cannot be read (${reason}): correct the TEMPORAL_ variables or the profile file.`,
      { cause: error },
    )
  }
}

/** Settings of a server that is not named would be ignored without a word by the embedded one. */
function assertNothingNeedsAddress(settings: { apiKey: unknown; namespace: string | undefined }): void {
  const { apiKey, namespace } = settings
  const needsAddress = [
    ...(namespace && namespace !== 'default' ? [`the namespace ${namespace}`] : []),
    ...(apiKey ? ['an API key'] : []),
  ]
  if (needsAddress.length === 0) return
  throw new RollcallError(
    'configuration-invalid',
    `Temporal is configured with ${needsAddress.join(' and ')} but without an address: set TEMPORAL_ADDRESS to ` +
      'host:port of the server, or unset the rest to use the embedded server.',
  )
}

function assertAddress(address: string): void {
  const port = Number(/^[^\s/@]+:(\d{1,5})$/.exec(address)?.[1])
  if (port > 0 && port < 65_536) return
  throw new RollcallError(
    'configuration-invalid',
    `TEMPORAL_ADDRESS is "${address}": it must be host:port without a scheme, for instance 127.0.0.1:7233.`,
  )
}
