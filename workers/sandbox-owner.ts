import { WorkflowNotFoundError } from '@temporalio/client'
import type { Client } from '@temporalio/client'
import { searchAttributeNames } from '../protocol/names.ts'
import type { Ownership } from '../providers/contract/provider.ts'
import type { Owner } from './sweep-rules.ts'

/** Of a state that is not among them nothing is concluded. */
const closedStates: readonly string[] = ['COMPLETED', 'FAILED', 'CANCELLED', 'TERMINATED', 'TIMED_OUT']

/**
 * Asks the server about the workflow that a sandbox is labelled with: its latest run, since run ids are part of nothing.
 * The incarnation stands in the workflow's memo from the second on, so that this costs one call and no worker.
 * @param at.namespace UUID of the client's own namespace
 * @throws whatever the server's silence is: what cannot be asked is not judged
 */
export async function sandboxOwner(at: { client: Client; namespace: string; ownership: Ownership }): Promise<Owner> {
  const { client, namespace, ownership } = at
  if (ownership.namespace !== namespace) return { state: 'foreign' }
  try {
    const { status, memo, searchAttributes } = await client.workflow.getHandle(ownership.workflow).describe()
    if (!closedStates.includes(status.name)) {
      const incarnation: unknown = memo?.['incarnation']
      return { state: 'open', ...(typeof incarnation === 'number' ? { incarnation } : {}) }
    }
    const outcome = searchAttributes[searchAttributeNames.state]?.[0]
    return { state: 'closed', ...(typeof outcome === 'string' ? { outcome } : {}) }
  } catch (error) {
    if (error instanceof WorkflowNotFoundError) return { state: 'unknown' }
    throw error
  }
}
