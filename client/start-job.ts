import { isDeepStrictEqual } from 'node:util'
import { WorkflowExecutionAlreadyStartedError } from '@temporalio/client'
import { RollcallError } from '../protocol/failure.ts'
import { jobOptionsSchema } from '../protocol/job.ts'
import type { JobOptions } from '../protocol/job.ts'
import { counted, jobTaskQueue, searchAttributeNames, sharedTaskQueue } from '../protocol/names.ts'
import { findJobOptions } from '../results/read-job.ts'
import { jobKey, planKey, proofKey } from '../store/keys.ts'
import type { Store } from '../store/store.ts'
import { uploadTasks } from '../tasks/task-copy.ts'
import type { Task } from '../tasks/task.ts'
import type { jobWorkflow, JobWorkflowInput } from '../workflows/job.ts'
import { timing } from '../workflows/timing.ts'
import type { TemporalConnection } from './connect.ts'
import { optionDifferences } from './job-options.ts'
import type { PreparedOptions } from './job-options.ts'
import { ensureSearchAttributes } from './search-attributes.ts'

export interface JobStart extends PreparedOptions {
  readonly id: string
  readonly tasks: readonly Task[]
  readonly store: Store
  readonly temporal: TemporalConnection
  readonly worker: 'own' | 'shared'
  readonly onProgress: (line: string) => void
}

/** @throws RollcallError `job-conflict` naming every field that differs */
export function assertSameOptions(id: string, stored: JobOptions, asked: JobOptions): void {
  if (isDeepStrictEqual(stored, jobOptionsSchema.parse(JSON.parse(JSON.stringify(asked))))) return
  throw new RollcallError(
    'job-conflict',
    `Job ${id} exists with other options: ${optionDifferences(stored, asked).join('; ')}. ` +
      'Choose another --job, or repeat the options to attach.',
  )
}

/**
 * Uploads what a job needs and starts its workflow. Killed anywhere and called again with the same id it goes on:
 * everything is `putOnce`, and the workflow's id is the job's.
 * @returns whether the job was there already
 */
export async function startJob(start: JobStart): Promise<{ attached: boolean }> {
  const { id, store, temporal } = start
  start.onProgress(`uploading ${counted(start.tasks.length, 'task')}`)
  await uploadTasks(store, start.tasks)
  for (const { key, bytes } of start.bundles) await store.putOnce(key, bytes)
  if ((await store.putOnce(jobKey(id), Buffer.from(JSON.stringify(start.options)))) === 'exists') {
    assertSameOptions(id, (await findJobOptions(store, id)) ?? start.options, start.options)
  }
  await store.putOnce(proofKey(id), Buffer.from(new Date().toISOString()))
  const missing = await ensureSearchAttributes(temporal.connection, temporal.namespace)
  for (const { name, command } of missing)
    start.onProgress(`search attribute ${name} is missing; add it with: ${command}`)
  return await startWorkflow(start, missing.length === 0)
}

async function startWorkflow(start: JobStart, searchable: boolean): Promise<{ attached: boolean }> {
  const { id, options, store, temporal } = start
  const taskQueue = start.worker === 'own' ? jobTaskQueue(id) : sharedTaskQueue
  const input: JobWorkflowInput = {
    job: id,
    storeUrl: store.url,
    taskQueue,
    concurrency: options.concurrency,
    proofKey: proofKey(id),
    searchable,
    ...(start.worker === 'own' ? {} : { sharedProvider: options.provider.name }),
  }
  // A job that once had a plan has had rollouts: its workflow id is never used a second time.
  const wasPlanned = (await store.get(planKey(id))) !== undefined
  try {
    await temporal.client.workflow.start<typeof jobWorkflow>('jobWorkflow', {
      workflowId: id,
      taskQueue,
      args: [input],
      workflowIdReusePolicy: wasPlanned ? 'REJECT_DUPLICATE' : 'ALLOW_DUPLICATE_FAILED_ONLY',
      workflowTaskTimeout: timing.workflowTaskTimeoutMs,
      retry: { maximumAttempts: 1 },
      // For who asks the server whether anybody serves the job.
      memo: { provider: options.provider.name },
      staticSummary: `${options.taskset} · ${counted(options.tasks.length, 'task')} · ${options.agents.map(({ label }) => label).join(', ')}`,
      ...(searchable
        ? { typedSearchAttributes: [{ key: { name: searchAttributeNames.job, type: 'KEYWORD' }, value: id }] }
        : {}),
    })
    return { attached: false }
  } catch (error) {
    if (error instanceof WorkflowExecutionAlreadyStartedError) return { attached: true }
    throw error
  }
}
