import { WorkflowNotFoundError } from '@temporalio/client'
import type { Client } from '@temporalio/client'
import { searchAttributeNames } from '../protocol/names.ts'
import type { Ownership } from '../providers/contract/provider.ts'
import { ownsSandboxQuery } from '../workflows/pool-messages.ts'
import type { Owner } from './sweep-rules.ts'
import { isClosed } from './workflow-state.ts'

/**
 * Asks the server about the workflow that a sandbox is labelled with: its latest run, since run ids are part of nothing.
 * The incarnation of a rollout stands in the workflow's memo from the second on, so that this costs one call and no worker.
 * @param at.namespace UUID of the client's own namespace
 * @throws whatever the server's silence is: what cannot be asked is not judged
 */
export async function sandboxOwner(at: { client: Client; namespace: string; ownership: Ownership }): Promise<Owner> {
  const { client, namespace, ownership } = at
  if (ownership.namespace !== namespace) return { state: 'foreign' }
  try {
    const description = await client.workflow.getHandle(ownership.workflow).describe()
    const { memo, searchAttributes } = description
    if (!isClosed(description)) {
      if (ownership.role === 'pool')
        return (await isDisowned(client, ownership)) ? { state: 'disowned' } : { state: 'open' }
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

/** A pool has many sandboxes in its life, so it is asked itself. One that cannot be asked now disowns nothing. */
async function isDisowned(client: Client, ownership: Ownership): Promise<boolean> {
  const { owner, workflow, incarnation: sandboxNumber } = ownership
  const asked = client.workflow.getHandle(workflow).query(ownsSandboxQuery, { owner, sandboxNumber })
  return !(await asked.catch(() => true))
}
