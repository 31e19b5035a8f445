import { setTimeout as delay } from 'node:timers/promises'
import { WorkflowNotFoundError } from '@temporalio/client'
import type { Client } from '@temporalio/client'
import { jobOptionsSchema } from '../protocol/job.ts'
import { jobKey, planKey } from '../store/keys.ts'
import { openStore } from '../store/open-store.ts'
import type { Providers } from './providers.ts'
import { sweepJob } from './sweep.ts'

/** How often a job's own worker looks whether its job is over. */
const lookEveryMs = 2_000
/** A worker is started just before its job; a job that never comes means that its client died in between. */
const jobMustComeWithinMs = 120_000

interface Watched {
  readonly job: string
  readonly client: Client
  readonly providers: Providers
  readonly storeUrl: string
  readonly log: (line: string) => void
  readonly stop: AbortSignal
  /** Whether somebody has stopped the embedded server: then the worker ends, too. */
  readonly isServerStopped: () => Promise<boolean>
}

/** Resolves when the job and all its rollouts are closed and a last sweep of the job finds nothing. */
export async function untilJobIsOver(watched: Watched): Promise<void> {
  const { log, stop } = watched
  const giveUpAt = Date.now() + jobMustComeWithinMs
  while (!stop.aborted) {
    try {
      const state = await jobState(watched)
      if (state === 'absent' && Date.now() > giveUpAt) return log('the job never came')
      if (state === 'over' && (await sweptClean(watched))) return log('the job is over and nothing of it is left')
    } catch (error) {
      // The server or the provider may be away for a while; the worker serves on and looks again.
      log(`cannot look at the job: ${error instanceof Error ? error.message : String(error)}`)
      if (await watched.isServerStopped()) return log('the server was stopped; whoever attaches starts both again')
    }
    await delay(lookEveryMs, undefined, { signal: stop }).catch(() => undefined)
  }
}

async function jobState({ client, job }: Watched): Promise<'absent' | 'running' | 'over'> {
  try {
    const { status } = await client.workflow.getHandle(job).describe()
    if (status.name === 'RUNNING') return 'running'
  } catch (error) {
    if (error instanceof WorkflowNotFoundError) return 'absent'
    throw error
  }
  // Rollouts of a terminated job are still asked to cancel, and tear down.
  const { count } = await client.workflow.count(`WorkflowId STARTS_WITH "${job}." AND ExecutionStatus = "Running"`)
  return count === 0 ? 'over' : 'running'
}

async function sweptClean({ job, client, providers, storeUrl, log }: Watched): Promise<boolean> {
  const store = openStore(storeUrl)
  const [bytes, plan] = await Promise.all([store.get(jobKey(job)), store.get(planKey(job))])
  // Without a plan no rollout has begun, and the provider may be one that does not exist.
  if (bytes === undefined || plan === undefined) return true
  const { provider: wanted } = jobOptionsSchema.parse(JSON.parse(bytes.toString()))
  const provider = await providers.provider(wanted.name, wanted.options)
  return (await sweepJob({ job, client, provider, log })) === 0
}
