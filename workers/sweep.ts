import type { Client } from '@temporalio/client'
import { namespaceUuid } from '../client/connect.ts'
import type { Provider } from '../providers/contract/provider.ts'

/**
 * Removes what a closed job has left at this worker's place: after Temporal's *terminate* nobody else does. Sandboxes
 * that are to be kept stay until they expire; those of other namespaces are not even listed.
 * @returns how many were found; the caller looks again until there are none
 */
export async function sweepJob(at: {
  job: string
  client: Client
  provider: Provider
  log: (line: string) => void
}): Promise<number> {
  const namespace = await namespaceUuid(at.client)
  const found = await at.provider.list({ namespace, job: at.job })
  const left = found.filter(({ ownership }) => ownership.keep === 'never')
  for (const sandbox of left) {
    at.log(`removing ${sandbox.name}, which the closed job ${at.job} has left`)
    await at.provider.destroy(sandbox.name)
  }
  return left.length
}
