import { Context } from '@temporalio/activity'
import type { Activities, Lease } from '../protocol/activities.ts'
import type { Runner } from '../runner/runner.ts'
import { readPlan } from '../results/read-job.ts'
import { gradeRollout } from './grade-rollout.ts'
import { createJobContexts } from './job-context.ts'
import { openRollout } from './open-rollout.ts'
import { placeRollout } from './place-rollout.ts'
import { planJob } from './plan-job.ts'
import { recordRollout } from './record-rollout.ts'
import { releaseSandbox } from './release-sandbox.ts'
import { runActivity, runWholeActivity } from './run-activity.ts'
import { runTurns } from './run-turns.ts'
import { SandboxAttachments } from './sandboxes.ts'
import type { ActivityServices } from './services.ts'
import { summarizeJob } from './summarize-job.ts'

/**
 * All activities of a worker. Each can run twice; the docstring of its implementation names the key that makes that
 * safe. `close` lets go of sandboxes and touches none.
 */
export function createActivities(services: ActivityServices): { activities: Activities; close: () => void } {
  const contextOf = createJobContexts(services)
  const attachments = new SandboxAttachments()
  const { handover, namespace, versions } = services

  const inSandbox = async <Result>(
    ref: { job: string; storeUrl: string; lease: Lease },
    work: (runner: Runner) => Promise<Result>,
  ): Promise<Result> => {
    const provider = await (await contextOf(ref)).provider()
    return await attachments.use({ provider, lease: ref.lease }, work)
  }

  const activities: Activities = {
    planJob: (input) => runWholeActivity(async () => planJob(input, { context: await contextOf(input), services })),

    listRollouts: (input) =>
      runWholeActivity(async () => {
        const { from, count } = input
        const plan = (await readPlan((await contextOf(input)).store, input.job)) ?? []
        return plan.slice(from, from + count)
      }),

    placeRollout: (input) =>
      runWholeActivity(async () => placeRollout(input, { context: await contextOf(input), services })),

    openRollout: (input) =>
      runActivity(handover, async ({ signal }) => {
        const context = await contextOf(input)
        const rollout = await context.rollout(input.rollout)
        const onProgress = (line: string) => Context.current().heartbeat(line)
        return await openRollout(input, { context, rollout, services, attachments, signal, onProgress })
      }),

    runTurns: (input) =>
      runActivity(handover, async ({ signal }) => {
        const context = await contextOf(input)
        const rollout = await context.rollout(input.rollout)
        const isRetry = Context.current().info.attempt > 1
        return await inSandbox(input, (runner) => runTurns(input, { context, rollout, runner, signal, isRetry }))
      }),

    gradeRollout: (input) =>
      runActivity(handover, async ({ signal }) => {
        const context = await contextOf(input)
        const rollout = await context.rollout(input.rollout)
        const { capabilities } = await context.provider()
        return await inSandbox(input, (runner) =>
          gradeRollout(input, { context, rollout, runner, capabilities, signal }),
        )
      }),

    recordRollout: (input) =>
      runWholeActivity(async ({ signal }) => {
        const context = await contextOf(input)
        return await recordRollout(input, {
          context,
          signal,
          inSandbox: (lease, work) => inSandbox({ ...input, lease }, work),
        })
      }),

    releaseSandbox: (input) =>
      runWholeActivity(async () => releaseSandbox(input, { context: await contextOf(input), namespace, attachments })),

    summarizeJob: (input) =>
      runWholeActivity(async () => summarizeJob(input, { context: await contextOf(input), versions })),
  }
  return { activities, close: () => attachments.close() }
}
