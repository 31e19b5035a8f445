import { access, constants } from 'node:fs/promises'
import { delimiter, join } from 'node:path'
import { connectEndpoint } from '../../client/connect.ts'
import { searchAttributeTypes } from '../../client/search-attributes.ts'
import { inspectBinary, temporalCliVersion } from '../../client/server/binary.ts'
import { serverStatus } from '../../client/server/server.ts'
import { configuredTemporal } from '../../client/temporal-config.ts'
import type { TemporalEndpoint } from '../../client/temporal-config.ts'
import type { ClientEnvironment } from '../../client/index.ts'
import { reasonOf } from './findings.ts'
import type { Finding } from './findings.ts'

const name = 'Temporal'

/** The configured server, or the embedded one, which is not started for this. */
export async function examineTemporal(environment: ClientEnvironment): Promise<Finding[]> {
  try {
    const configured = configuredTemporal(environment.env)
    return configured ? await examineServer(configured) : await examineEmbedded(environment)
  } catch (error) {
    return [{ name, state: 'missing', detail: reasonOf(error) }]
  }
}

async function examineServer(endpoint: TemporalEndpoint): Promise<Finding[]> {
  const connected = await connectEndpoint(endpoint)
  try {
    const { namespace } = connected
    const listed = await connected.connection.operatorService.listSearchAttributes({ namespace })
    const missing = Object.keys(searchAttributeTypes).filter((attribute) => !listed.customAttributes[attribute])
    const detail = `${connected.address}, namespace ${namespace}`
    return [{ name, state: 'ok', detail }, searchAttributesFinding(missing)]
  } finally {
    await connected.close()
  }
}

function searchAttributesFinding(missing: readonly string[]): Finding {
  const name = 'Search attributes'
  if (missing.length === 0) return { name, state: 'ok', detail: 'registered' }
  const remedy = 'the first run registers them, or names the commands where it may not'
  return { name, state: 'note', detail: `not registered yet: ${missing.join(', ')}`, remedy }
}

async function examineEmbedded(environment: ClientEnvironment): Promise<Finding[]> {
  const server = await serverStatus(environment)
  if (server.state === 'running') {
    const { address } = server
    const detail = `embedded server ${server.serverVersion} runs at ${address}, UI ${server.uiUrl}`
    const [, attributes] = await examineServer({ address, namespace: 'default', embedded: true })
    return [{ name, state: 'ok', detail }, ...(attributes ? [attributes] : [])]
  }
  if (server.state === 'not-answering') {
    const remedy = `look at ${server.logFile}; rollcall server stop, then rollcall server start`
    return [{ name, state: 'missing', detail: `embedded server at ${server.address} does not answer`, remedy }]
  }
  return [await binaryFinding(environment)]
}

/** Where the embedded server would come from: a program that is here, or one that the first run has to fetch. */
async function binaryFinding({ env, cacheDirectory }: ClientEnvironment): Promise<Finding> {
  const configured = env['ROLLCALL_TEMPORAL_CLI']
  const onPath = (env['PATH'] ?? '').split(delimiter).map((folder) => join(folder, 'temporal'))
  const cached = join(cacheDirectory, 'temporal', temporalCliVersion, 'temporal')
  for (const path of configured ? [configured] : [...onPath.filter((one) => one !== 'temporal'), cached]) {
    const binary = (await isExecutable(path)) ? await inspectBinary(path) : undefined
    if (binary)
      return { name, state: 'ok', detail: `embedded server ${binary.serverVersion} is started by run (${path})` }
  }
  if (configured) {
    const remedy = 'set ROLLCALL_TEMPORAL_CLI to the path of the Temporal CLI, or unset it'
    return { name, state: 'missing', detail: `ROLLCALL_TEMPORAL_CLI is ${configured}: no Temporal CLI`, remedy }
  }
  const detail = 'no Temporal CLI on PATH or in the cache: the first run downloads it, or builds it with Go'
  return { name, state: 'note', detail, remedy: 'rollcall server start does it now' }
}

async function isExecutable(path: string): Promise<boolean> {
  return await access(path, constants.X_OK).then(
    () => true,
    () => false,
  )
}
