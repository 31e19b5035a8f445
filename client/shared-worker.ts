import { sharedTaskQueue } from '../protocol/names.ts'
import type { TemporalConnection } from './connect.ts'
import type { ClientEnvironment } from './environment.ts'
import { isPolled } from './job-worker.ts'
import { spawnWorker, workerLogPath } from './spawn-worker.ts'

/**
 * On the embedded server nobody else may serve: then a shared worker is started, which ends with the server. Twice at the
 * same time starts two, which does no harm: both serve.
 * @param at.what is served by it, for the message where somebody else has to start one
 */
export async function ensureSharedWorker(at: {
  temporal: TemporalConnection
  environment: ClientEnvironment
  onProgress: (line: string) => void
  what: string
}): Promise<void> {
  const { temporal, environment, onProgress } = at
  if (await isPolled(temporal, sharedTaskQueue)) return
  if (!temporal.embedded) {
    onProgress(`No worker serves ${at.what} yet: start \`rollcall worker\` where the sandboxes are to be`)
    return
  }
  const { pid } = spawnWorker(environment)
  onProgress(
    `Started a worker (pid ${pid}, log ${workerLogPath(environment, 'shared')}): it runs until the server is stopped`,
  )
}
