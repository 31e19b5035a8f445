import { Context } from '@temporalio/activity'
import type { Activities, JobRef, Lease, TurnsInput } from '../protocol/activities.ts'
import type { ModelWait } from '../protocol/activity-note.ts'
import type { Runner } from '../runner/runner.ts'
import { readPlan } from '../results/read-job.ts'
import { notingRunner } from './exec-notes.ts'
import { gradeRollout } from './grade-rollout.ts'
import { createJobContexts } from './job-context.ts'
import { openRollout } from './open-rollout.ts'
import { placeRollout } from './place-rollout.ts'
import { planJob } from './plan-job.ts'
import { recordRollout } from './record-rollout.ts'
import { releaseSandbox } from './release-sandbox.ts'
import { runActivity, runMakingActivity, runWholeActivity } from './run-activity.ts'
import { runTurns } from './run-turns.ts'
import { SandboxAttachments } from './sandboxes.ts'
import { scheduledActivities } from './scheduled-activities.ts'
import type { ActivityServices } from './services.ts'
import { summarizeJob } from './summarize-job.ts'

/** Somebody waits for the plan: what can only fail the same way again is tried a few times, for blips. */
const planAttempts = 3

/**
 * All activities of a worker. Each can run twice; the docstring of its implementation names the key that makes that
 * safe. `close` lets go of sandboxes and touches none.
 */
export function createActivities(services: ActivityServices): { activities: Activities; close: () => void } {
  const contextOf = createJobContexts(services)
  const attachments = new SandboxAttachments(services.attachmentIdleMs)
  const { handover, namespace, versions } = services

  const inSandbox = sandboxUser(contextOf, attachments)

  const activities: Activities = {
    planJob: (input) =>
      runWholeActivity(async () => planJob(input, { context: await contextOf(input), services }), {
        attempts: planAttempts,
      }),

    listRollouts: (input) =>
      runWholeActivity(async () => {
        const { from, count } = input
        const plan = (await readPlan((await contextOf(input)).store, input.job)) ?? []
        return plan.slice(from, from + count)
      }),

    placeRollout: (input) =>
      runWholeActivity(async () => placeRollout(input, { context: await contextOf(input), services })),

    openRollout: (input) =>
      runMakingActivity(handover, async ({ signal, note }) => {
        const context = await contextOf(input)
        const rollout = await context.rollout(input.rollout)
        const onProgress = (line: string) => note({ execs: [], line })
        return await openRollout(input, { context, rollout, services, attachments, signal, onProgress })
      }),

    runTurns: (input) =>
      runActivity(handover, async ({ signal, time, ...notes }) => {
        const context = await contextOf(input)
        const rollout = await context.rollout(input.rollout)
        // No command runs while an agent is asked.
        const onWait = (modelWait: ModelWait | undefined) => notes.note({ execs: [], ...(modelWait && { modelWait }) })
        const rest = { context, rollout, signal, time, onWait, isRetry: mayHaveBegun(input) }
        return await inSandbox(input, (runner) => runTurns(input, { ...rest, runner }), notes)
      }),

    gradeRollout: (input) =>
      runActivity(handover, async ({ signal, ...notes }) => {
        const context = await contextOf(input)
        const rollout = await context.rollout(input.rollout)
        const { capabilities } = await context.provider()
        const rest = { context, rollout, capabilities, signal }
        return await inSandbox(input, (runner) => gradeRollout(input, { ...rest, runner }), notes)
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

    ...scheduledActivities(services),
  }
  return { activities, close: () => attachments.close() }
}

/** Whether another worker, or this one, may have begun the same slice of turns. */
function mayHaveBegun({ wasHandedOver = false }: TurnsInput): boolean {
  return wasHandedOver || Context.current().info.attempt > 1
}

/** Runs work in the sandbox of a lease; with `notes`, what runs there is told with the heartbeats. */
function sandboxUser(contextOf: ReturnType<typeof createJobContexts>, attachments: SandboxAttachments) {
  return async <Result>(
    ref: JobRef & { lease: Lease },
    work: (runner: Runner) => Promise<Result>,
    notes?: Parameters<typeof notingRunner>[1],
  ): Promise<Result> => {
    const provider = await (await contextOf(ref)).provider()
    const noted = notes === undefined ? work : (runner: Runner) => work(notingRunner(runner, notes))
    return await attachments.use({ provider, lease: ref.lease }, noted)
  }
}
