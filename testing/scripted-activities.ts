import { ApplicationFailure, Context } from '@temporalio/activity'
import type { Activities, RolloutPolicy } from '../protocol/activities.ts'
import type { FailureCode } from '../protocol/failure.ts'
import type { PlannedRollout } from '../protocol/job.ts'

/** A scheduled job that has not run yet. */
export const preparedJob = { proofKey: 'proof', provider: 'fake', concurrency: 4, summary: 'scripted', isOver: false }

export const policy: RolloutPolicy = {
  sandboxLoss: { policy: 'fail', maxIncarnations: 3, hostLostMs: 120_000 },
  gradingAttempts: 1,
  acquireTimeoutMs: 60_000,
  startTimeoutMs: 60_000,
}

/** A failure as an activity would report it. */
export function failing(code: FailureCode, nonRetryable = true): never {
  throw ApplicationFailure.create({ type: code, message: `scripted ${code}`, nonRetryable })
}

/** An activity that lives until it is cancelled. */
export async function untilCancelled(): Promise<never> {
  const context = Context.current()
  const ticking = setInterval(() => context.heartbeat(), 200)
  return await context.cancelled.finally(() => clearInterval(ticking))
}

function plannedRollouts(count: number): PlannedRollout[] {
  return Array.from({ length: count }, (_, index) => ({
    name: `task-${index}.oracle.1`,
    task: `task-${index}`,
    agent: 'oracle',
    attempt: 1,
  }))
}

/**
 * Activities that do nothing but answer, for tests of what workflows decide. They are real activities on a real server;
 * `calls` is what ran, in order.
 */
export function scriptedActivities(script: Partial<Activities> & { rollouts?: number; policy?: RolloutPolicy } = {}): {
  activities: Activities
  calls: string[]
} {
  const calls: string[] = []
  const planned = plannedRollouts(script.rollouts ?? 1)
  const answers: Activities = {
    planJob: async ({ firstCount }) => ({
      total: planned.length,
      provider: 'fake',
      policy: script.policy ?? policy,
      first: planned.slice(0, firstCount),
    }),
    listRollouts: async ({ from, count }) => planned.slice(from, from + count),
    placeRollout: async () => ({ place: 'here', queue: 'none' }),
    openRollout: async ({ rollout, incarnation }) => ({
      lease: { provider: 'fake', place: 'here', sandbox: `${rollout}-${incarnation}`, incarnation, spec: 'spec' },
      agentTimeoutMs: 60_000,
      verifierTimeoutMs: 60_000,
    }),
    prepareStep: async () => ({ prepared: true }),
    collectArtifacts: async () => ({ collected: 0 }),
    runTurns: async ({ turn }) => ({ turn: turn + 1, end: 'done' }),
    gradeRollout: async () => ({ rewards: { reward: 1 }, integrity: 'clean' }),
    recordRollout: async ({ state, failure, grade }) => ({
      state,
      ...(grade === undefined ? {} : { reward: grade.rewards['reward'] ?? 0 }),
      ...(failure === undefined ? {} : { code: failure.code }),
    }),
    releaseSandbox: async () => {},
    summarizeJob: async () => ({ graded: 0, failed: 0, cancelled: 0 }),
    prepareScheduledJob: async () => preparedJob,
    judgeScheduledJob: async () => ({ verdict: 'same', details: '**same**', notifies: true }),
    notifyVerdict: async () => {},
    placePoolSandbox: async () => ({ place: 'here', queue: 'test' }),
    openPoolSandbox: async ({ pool, sandboxNumber, profile }) => ({
      name: `${pool}-${sandboxNumber}`,
      spec: 'spec',
      image: 'image',
      workdir: '/',
      endsAtMs: Date.now() + profile.maxLifetimeMs,
    }),
    resetSlots: async () => {},
    checkPool: async () => ({ dead: [] }),
    removePoolSandbox: async () => {},
    findClosedWorkflows: async () => [],
    ...script,
  }
  return { activities: recording(answers, calls), calls }
}

function recording(activities: Activities, calls: string[]): Activities {
  const names = Object.keys(activities) as (keyof Activities)[]
  const recorded = names.map((name) => [
    name,
    async (input: never) => {
      calls.push(name)
      return await (activities[name] as (argument: never) => Promise<unknown>)(input)
    },
  ])
  return Object.fromEntries(recorded) as Activities
}
