import { Context } from '@temporalio/activity'
import type { Activities, JobRef, Lease } from '../protocol/activities.ts'
import type { Runner } from '../runner/runner.ts'
import { readPlan } from '../results/read-job.ts'
import { notingRunner } from './exec-notes.ts'
import type { RolloutContext } from './job-context.ts'
import { gradeRollout } from './grade-rollout.ts'
import { createJobContexts } from './job-context.ts'
import { maskingRunner } from './masking-runner.ts'
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

/** Somebody waits for the plan: what can only fail the same way again is tried a few times, for blips. */
const planAttempts = 3

/**
 * All activities of a worker. Each can run twice; the docstring of its implementation names the key that makes that
 * safe. `close` lets go of sandboxes and touches none.
 */
export function createActivities(services: ActivityServices): { activities: Activities; close: () => void } {
  const contextOf = createJobContexts(services)
  const attachments = new SandboxAttachments()
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
      runActivity(handover, async ({ signal, note }) => {
        const context = await contextOf(input)
        const rollout = await context.rollout(input.rollout)
        const onProgress = (line: string) => note({ execs: [], line })
        return await masked(rollout, () =>
          openRollout(input, { context, rollout, services, attachments, signal, onProgress }),
        )
      }),

    runTurns: (input) =>
      runActivity(handover, async ({ signal, ...notes }) => {
        const context = await contextOf(input)
        const rollout = await context.rollout(input.rollout)
        const rest = { context, rollout, signal, isRetry: Context.current().info.attempt > 1 }
        return await masked(rollout, () =>
          inSandbox(
            input,
            (runner) => runTurns(input, { ...rest, runner: maskingRunner(runner, rollout.host.mask) }),
            notes,
          ),
        )
      }),

    gradeRollout: (input) =>
      runActivity(handover, async ({ signal, ...notes }) => {
        const context = await contextOf(input)
        const rollout = await context.rollout(input.rollout)
        const { capabilities } = await context.provider()
        const rest = { context, rollout, capabilities, signal }
        return await masked(rollout, () =>
          inSandbox(
            input,
            (runner) => gradeRollout(input, { ...rest, runner: maskingRunner(runner, rollout.host.mask) }),
            notes,
          ),
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

/** What an error tells ends in histories and results: no values of secrets. */
async function masked<Result>({ host }: Pick<RolloutContext, 'host'>, work: () => Promise<Result>): Promise<Result> {
  try {
    return await work()
  } catch (error) {
    throw host.mask.error(error)
  }
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
