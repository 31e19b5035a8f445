import { Context } from '@temporalio/activity'
import type { Activities, JobRef, Lease } from '../protocol/activities.ts'
import { parseRolloutName } from '../protocol/names.ts'
import type { Runner } from '../runner/runner.ts'
import { readPlan } from '../results/read-job.ts'
import { notingRunner } from './exec-notes.ts'
import { collectArtifacts } from './collect-artifacts.ts'
import { gradeRollout } from './grade-rollout.ts'
import { createJobContexts } from './job-context.ts'
import type { JobContext, RolloutContext } from './job-context.ts'
import { maskingRunner } from './masking-runner.ts'
import { openRollout } from './open-rollout.ts'
import { placeRollout } from './place-rollout.ts'
import { planJob } from './plan-job.ts'
import { prepareStep } from './prepare-step.ts'
import { recordRollout } from './record-rollout.ts'
import { releaseSandbox } from './release-sandbox.ts'
import { runActivity, runWholeActivity } from './run-activity.ts'
import type { ActivityScope } from './run-activity.ts'
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
  const inRollout = rolloutUser(contextOf, inSandbox)

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
      runActivity(handover, (scope) => {
        const isRetry = Context.current().info.attempt > 1
        return inRollout(input, scope, (at) => runTurns(input, { ...at, isRetry }))
      }),

    prepareStep: (input) => runActivity(handover, (scope) => inRollout(input, scope, (at) => prepareStep(input, at))),

    collectArtifacts: (input) =>
      runActivity(handover, (scope) => inRollout(input, scope, (at) => collectArtifacts(input, at))),

    gradeRollout: (input) =>
      runActivity(handover, async (scope) => {
        const { capabilities } = await (await contextOf(input)).provider()
        return await inRollout(input, scope, (at) => gradeRollout(input, { ...at, capabilities }))
      }),

    recordRollout: (input) =>
      runWholeActivity(async ({ signal }) => {
        const context = await contextOf(input)
        return await recordRollout(input, {
          context,
          task: () => context.task(parseRolloutName(input.rollout).task),
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

interface InRollout {
  readonly context: JobContext
  readonly rollout: RolloutContext
  readonly runner: Runner
  readonly signal: AbortSignal
}

/** Runs work in a rollout's sandbox, with secrets masked in all that commands print and in what errors tell. */
function rolloutUser(contextOf: ReturnType<typeof createJobContexts>, inSandbox: ReturnType<typeof sandboxUser>) {
  return async <Result>(
    ref: JobRef & { lease: Lease; rollout: string },
    { signal, ...notes }: ActivityScope,
    work: (at: InRollout) => Promise<Result>,
  ): Promise<Result> => {
    const context = await contextOf(ref)
    const rollout = await context.rollout(ref.rollout)
    const { mask } = rollout.host
    const masking = (runner: Runner) => work({ context, rollout, signal, runner: maskingRunner(runner, mask) })
    return await masked(rollout, () => inSandbox(ref, masking, notes))
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
