import { setTimeout as sleep } from 'node:timers/promises'
import type { Connection } from '@temporalio/client'
import proto from '@temporalio/proto'
import { RollcallError } from '../protocol/failure.ts'
import { searchAttributeNames } from '../protocol/names.ts'
import { grpcCodeOf, grpcCodes } from './grpc-codes.ts'

const { IndexedValueType } = proto.temporal.api.enums.v1
const settleWithinMs = 30_000
const pollMs = 200

/** A search attribute that this client may not register, and the command with which an operator can. */
export interface MissingSearchAttribute {
  readonly name: string
  readonly type: 'Keyword' | 'Double'
  readonly command: string
}

/** Everything Rollcall searches by: Keyword, but for the reward, which is compared by size. */
export const searchAttributeTypes: Readonly<Record<string, 'Keyword' | 'Double'>> = Object.fromEntries(
  Object.values(searchAttributeNames).map((name) => [
    name,
    name === searchAttributeNames.reward ? 'Double' : 'Keyword',
  ]),
)

/**
 * Registers Rollcall's search attributes in the namespace and returns once they can be used; one call when all are
 * there. Returns those that are missing and may not be registered with these credentials (managed clouds): a workflow
 * start that names one of them would fail. Throws `configuration-invalid` when a name is taken with another type.
 */
export async function ensureSearchAttributes(
  connection: Connection,
  namespace: string,
): Promise<MissingSearchAttribute[]> {
  const missing = await missingNames(connection, namespace)
  if (missing.length === 0) return []
  if (!(await register({ connection, namespace, names: missing }))) {
    return missing.map((name) => describeMissing(name, namespace))
  }
  await waitUntilUsable({ connection, namespace })
  return []
}

/** The missing names; those that cannot be listed are taken to be missing. */
async function missingNames(connection: Connection, namespace: string): Promise<string[]> {
  const known = await listTypes(connection, namespace)
  for (const [name, type] of Object.entries(searchAttributeTypes)) {
    const actual = known[name]
    if (actual === undefined || actual === indexedType(type)) continue
    throw new RollcallError(
      'configuration-invalid',
      `The search attribute ${name} of namespace ${namespace} has type ${IndexedValueType[actual]}, not ${type}: ` +
        'remove it, or use another namespace.',
    )
  }
  return Object.keys(searchAttributeTypes).filter((name) => known[name] === undefined)
}

type IndexedType = proto.temporal.api.enums.v1.IndexedValueType

async function listTypes(connection: Connection, namespace: string): Promise<Record<string, IndexedType>> {
  try {
    return (await connection.operatorService.listSearchAttributes({ namespace })).customAttributes
  } catch (error) {
    if (isRefusal(error)) return {}
    throw error
  }
}

/** False when these credentials may not, or the service has no such call. */
async function register(wanted: { connection: Connection; namespace: string; names: string[] }): Promise<boolean> {
  const types = wanted.names.map((name) => [name, indexedType(searchAttributeTypes[name] ?? 'Keyword')] as const)
  const { namespace } = wanted
  try {
    const searchAttributes = Object.fromEntries(types)
    await wanted.connection.operatorService.addSearchAttributes({ namespace, searchAttributes })
  } catch (error) {
    if (isRefusal(error)) return false
    // Another client registered some of them between the list and this call.
    if (grpcCodeOf(error) !== grpcCodes.alreadyExists) throw error
  }
  return true
}

/**
 * The servers of a cluster learn of new attributes within seconds, each by itself; until then a start that names one
 * is refused. A count goes through the same check and starts nothing.
 */
async function waitUntilUsable(where: { connection: Connection; namespace: string }): Promise<void> {
  const deadline = Date.now() + settleWithinMs
  while (Date.now() < deadline) {
    const missing = await missingNames(where.connection, where.namespace)
    if (missing.length === 0 && (await isQueryable(where))) return
    await sleep(pollMs)
  }
  throw new RollcallError(
    'configuration-invalid',
    `The search attributes of namespace ${where.namespace} were registered but are not usable after ` +
      `${settleWithinMs / 1000} s: look at the Temporal server's log, then try again.`,
  )
}

async function isQueryable(where: { connection: Connection; namespace: string }): Promise<boolean> {
  const query = Object.entries(searchAttributeTypes)
    .map(([name, type]) => `${name} = ${type === 'Double' ? '0' : "'none'"}`)
    .join(' AND ')
  try {
    await where.connection.workflowService.countWorkflowExecutions({ namespace: where.namespace, query })
    return true
  } catch (error) {
    if (grpcCodeOf(error) === grpcCodes.invalidArgument) return false
    throw error
  }
}

function describeMissing(name: string, namespace: string): MissingSearchAttribute {
  const type = searchAttributeTypes[name] ?? 'Keyword'
  const command = `temporal operator search-attribute create --namespace ${namespace} --name ${name} --type ${type}`
  return { name, type, command }
}

function indexedType(type: 'Keyword' | 'Double'): IndexedType {
  return type === 'Double' ? IndexedValueType.INDEXED_VALUE_TYPE_DOUBLE : IndexedValueType.INDEXED_VALUE_TYPE_KEYWORD
}

function isRefusal(error: unknown): boolean {
  const code = grpcCodeOf(error)
  return code === grpcCodes.permissionDenied || code === grpcCodes.unimplemented || code === grpcCodes.unauthenticated
}
