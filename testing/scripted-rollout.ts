import { randomUUID } from 'node:crypto'
import type { RolloutInput, rolloutWorkflow } from '../workflows/rollout.ts'
import { policy, scriptedActivities } from './scripted-activities.ts'
import type { useTemporal } from './temporal.ts'

/** For tests: one rollout workflow on a real server, with activities that do nothing but answer. */
export async function runScriptedRollout(
  temporal: ReturnType<typeof useTemporal>,
  script: Parameters<typeof scriptedActivities>[0],
  input: Partial<RolloutInput> = {},
) {
  const { activities, calls } = scriptedActivities(script)
  const taskQueue = randomUUID()
  const worker = await temporal.worker(activities, taskQueue)
  const { client } = temporal.environment()
  const workflowId = randomUUID()
  const outcome = await worker.runUntil(
    client.workflow.execute<typeof rolloutWorkflow>('rolloutWorkflow', {
      taskQueue,
      workflowId,
      args: [{ job: 'j', storeUrl: 'file:///none', rollout: 'task-0.oracle.1', policy, searchable: true, ...input }],
    }),
  )
  return { outcome, calls, workflowId }
}
