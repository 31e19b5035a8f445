import { connect } from 'node:net'
import { Client, Connection } from '@temporalio/client'
import { RollcallError } from '../protocol/failure.ts'
import { grpcCodeOf, grpcCodes } from './grpc-codes.ts'
import type { ServerOptions } from './server/server.ts'
import { resolveTemporal } from './temporal-config.ts'
import type { TemporalEndpoint } from './temporal-config.ts'

const connectTimeoutMs = 5_000
const probeTimeoutMs = 1_000

/** An open connection; whoever opened it closes it. */
export interface TemporalConnection extends Pick<TemporalEndpoint, 'address' | 'namespace' | 'uiUrl' | 'embedded'> {
  readonly connection: Connection
  readonly client: Client
  close(): Promise<void>
}

/**
 * Connects to the configured server, or to the embedded one, which is started when it does not run. Throws
 * `configuration-invalid` naming the address when nothing answers within five seconds, or the namespace is unknown.
 */
export async function connectTemporal(options: ServerOptions): Promise<TemporalConnection> {
  return connectEndpoint(await resolveTemporal(options))
}

/** Connects to a server that is already resolved. */
export async function connectEndpoint(endpoint: TemporalEndpoint): Promise<TemporalConnection> {
  const { address, namespace, uiUrl, embedded } = endpoint
  const connection = await openConnection(endpoint)
  const client = new Client({ connection, namespace })
  try {
    await assertNamespace(client, endpoint)
  } catch (error) {
    await connection.close()
    throw error
  }
  const ui = uiUrl === undefined ? {} : { uiUrl }
  return { connection, client, address, namespace, ...ui, embedded, close: () => connection.close() }
}

/** The id that the server gave the namespace; another database, even of the same name, has another id. */
export async function namespaceUuid(client: Client): Promise<string> {
  const { namespace } = client.options
  const { namespaceInfo } = await client.workflowService.describeNamespace({ namespace })
  if (!namespaceInfo?.id) throw new RollcallError('internal', `The server tells no id of namespace ${namespace}.`)
  return namespaceInfo.id
}

/** Link to a workflow in the Temporal UI; without a run id it shows the latest run. */
export function workflowUrl(uiUrl: string, namespace: string, workflowId: string): string {
  const base = uiUrl.replace(/\/+$/, '')
  return `${base}/namespaces/${encodeURIComponent(namespace)}/workflows/${encodeURIComponent(workflowId)}`
}

async function openConnection(endpoint: TemporalEndpoint): Promise<Connection> {
  const { address, tls, apiKey, metadata } = endpoint
  try {
    return await Connection.connect({
      address,
      connectTimeout: connectTimeoutMs,
      ...(tls ? { tls } : {}),
      ...(apiKey ? { apiKey } : {}),
      ...(metadata ? { metadata } : {}),
    })
  } catch (error) {
    throw new RollcallError(
      'configuration-invalid',
      `No Temporal server answers at ${address} (${await reachability(address)}): start it, or correct TEMPORAL_ADDRESS and its ` +
        'TLS and key settings, or unset TEMPORAL_ADDRESS to use the embedded server.',
      { cause: error },
    )
  }
}

async function assertNamespace(client: Client, endpoint: TemporalEndpoint): Promise<void> {
  const { namespace, address } = endpoint
  try {
    await client.workflowService.describeNamespace({ namespace })
  } catch (error) {
    // Credentials that may use a namespace need not be allowed to describe it; then its first use will tell.
    if (grpcCodeOf(error) !== grpcCodes.notFound) return
    throw new RollcallError(
      'configuration-invalid',
      `The Temporal server at ${address} has no namespace ${namespace}: set TEMPORAL_NAMESPACE, or create it with ` +
        `"temporal operator namespace create --address ${address} -n ${namespace} --retention 72h".`,
      { cause: error },
    )
  }
}

/** gRPC says only that the deadline has passed; a plain connection tells a dead port from a wrong protocol. */
async function reachability(address: string): Promise<string> {
  const colon = address.lastIndexOf(':')
  const [host, port] = [address.slice(0, colon), Number(address.slice(colon + 1))]
  return new Promise((resolve) => {
    const socket = connect({ host, port, timeout: probeTimeoutMs })
    const settle = (reason: string) => {
      socket.destroy()
      resolve(reason)
    }
    socket.once('connect', () => settle('something accepts connections there but does not speak this protocol'))
    socket.once('error', (error) => settle(error.message))
    socket.once('timeout', () => settle('no answer at all'))
  })
}
