import { Context } from '@temporalio/activity'
import type { Activities, JobRef, Lease, PartInput, ReleaseInput, TurnsInput } from '../protocol/activities.ts'
import type { ActivityNote, ModelWait } from '../protocol/activity-note.ts'
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
import { poolActivities } from './pool-activities.ts'
import { releasePooled } from './pooled-sandbox.ts'
import { prepareStep } from './prepare-step.ts'
import { recordRollout } from './record-rollout.ts'
import { releaseSandbox } from './release-sandbox.ts'
import { profileOf } from './rollout-spec.ts'
import { runActivity, runMakingActivity, runWholeActivity } from './run-activity.ts'
import type { ActivityScope } from './run-activity.ts'
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
  const { handover, versions } = services

  const inSandbox = sandboxUser(contextOf, attachments)
  const pools = poolActivities(services)

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
      runWholeActivity(async ({ signal }) =>
        placeRollout(input, { context: await contextOf(input), services, signal }),
      ),

    openRollout: (input) =>
      runMakingActivity(handover, async ({ signal, note }) => {
        const context = await contextOf(input)
        const rollout = await context.rollout(input.rollout)
        const onProgress = (line: string) => note({ execs: [], line })
        const dependencies = { context, rollout, services, attachments, signal, onProgress }
        return await masked(rollout, () => openRollout(input, dependencies))
      }),

    ...partActivities(handover, { contextOf, inSandbox }),

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
      runWholeActivity(async () => releaseRollout(input, { context: await contextOf(input), services, attachments })),

    summarizeJob: (input) =>
      runWholeActivity(async () => summarizeJob(input, { context: await contextOf(input), versions })),

    ...scheduledActivities(services),
    ...pools.activities,
  }
  const close = (): void => [attachments, pools].forEach((opened) => opened.close())
  return { activities, close }
}

/** Gives back what came out of a pool, and removes what was the rollout's own. */
async function releaseRollout(
  input: ReleaseInput,
  at: { context: JobContext; services: ActivityServices; attachments: SandboxAttachments },
): Promise<void> {
  const { context, services, attachments } = at
  const { namespace } = services
  const task = await context.task(parseRolloutName(input.rollout).task)
  const profile = profileOf(task, context.options)
  if (profile === undefined) return await releaseSandbox(input, { context, namespace, attachments })
  await releasePooled(input, { context, task, profile, services })
  if (!input.verifiers?.length) return
  await releaseSandbox({ ...input, incarnations: [] }, { context, namespace, attachments })
}

/** What an error tells ends in histories and results: no values of secrets. */
async function masked<Result>({ host }: Pick<RolloutContext, 'host'>, work: () => Promise<Result>): Promise<Result> {
  try {
    return await work()
  } catch (error) {
    throw host.mask.error(error)
  }
}

/**
 * Those that work in a rollout's sandbox on one part of its task; what runs there is told with the heartbeats; secrets are
 * masked in all that is told.
 */
function partActivities(
  handover: AbortSignal,
  at: { contextOf: ReturnType<typeof createJobContexts>; inSandbox: ReturnType<typeof sandboxUser> },
): Pick<Activities, 'prepareStep' | 'runTurns' | 'collectArtifacts' | 'gradeRollout'> {
  const inRollout = <Result>(
    input: PartInput,
    work: (at: InRollout, scope: Omit<ActivityScope, 'signal'>) => Promise<Result>,
  ) =>
    runActivity(handover, async ({ signal, ...unmasked }) => {
      const context = await at.contextOf(input)
      const rollout = await context.rollout(input.rollout)
      const { mask } = rollout.host
      const scope = { ...unmasked, note: (said: ActivityNote) => unmasked.note(mask.json(said)) }
      const masking = (runner: Runner) => work({ context, rollout, signal, runner: maskingRunner(runner, mask) }, scope)
      return await masked(rollout, () => at.inSandbox(input, masking, scope))
    })
  return {
    prepareStep: (input) => inRollout(input, (rollout) => prepareStep(input, rollout)),

    runTurns: (input) =>
      inRollout(input, (rollout, { note, time }) =>
        runTurns(input, { ...rollout, time, onWait: tellWaits(note), isRetry: mayHaveBegun(input) }),
      ),

    collectArtifacts: (input) => inRollout(input, (rollout) => collectArtifacts(input, rollout)),

    gradeRollout: (input) =>
      inRollout(input, async (rollout, { note }) => {
        const { capabilities } = await rollout.context.providerOf(input.lease)
        return await gradeRollout(input, { ...rollout, capabilities, onWait: tellWaits(note) })
      }),
  }
}

/** No command runs while a model is asked. */
function tellWaits(note: ActivityScope['note']): (wait: ModelWait | undefined) => void {
  return (modelWait) => note({ execs: [], ...(modelWait && { modelWait }) })
}

interface InRollout {
  readonly context: JobContext
  readonly rollout: RolloutContext
  readonly runner: Runner
  readonly signal: AbortSignal
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
    const provider = await (await contextOf(ref)).providerOf(ref.lease)
    const noted = notes === undefined ? work : (runner: Runner) => work(notingRunner(runner, notes))
    return await attachments.use({ provider, lease: ref.lease }, noted)
  }
}
