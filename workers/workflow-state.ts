import { WorkflowNotFoundError } from '@temporalio/client'
import type { Client, WorkflowExecutionDescription } from '@temporalio/client'
import pLimit from 'p-limit'

const askedAtOnce = 8
/** Of a state that is not among them nothing is concluded. */
const closedStates: readonly string[] = ['COMPLETED', 'FAILED', 'CANCELLED', 'TERMINATED', 'TIMED_OUT']

/** Of its latest run, since run ids are part of nothing. */
export function isClosed({ status }: Pick<WorkflowExecutionDescription, 'status'>): boolean {
  return closedStates.includes(status.name)
}

/** Those of the workflows that are closed, or that the server does not know. @throws whatever the server's silence is */
export async function closedWorkflows(client: Client, ids: readonly string[]): Promise<string[]> {
  const limit = pLimit(askedAtOnce)
  const found = await Promise.all(ids.map((id) => limit(async () => ((await isOver(client, id)) ? [id] : []))))
  return found.flat()
}

async function isOver(client: Client, id: string): Promise<boolean> {
  try {
    return isClosed(await client.workflow.getHandle(id).describe())
  } catch (error) {
    if (error instanceof WorkflowNotFoundError) return true
    throw error
  }
}
