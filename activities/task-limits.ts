import type { JobOptions } from '../protocol/job.ts'
import type { OpenedRollout, PartPlan } from '../protocol/activities.ts'
import type { Healthcheck, Task } from '../tasks/task.ts'
import { partOf, partsOf } from '../tasks/task-parts.ts'
import type { TaskPart } from '../tasks/task-parts.ts'

const installTimeoutMs = 30 * 60_000

type Multipliers = JobOptions['timeoutMultipliers']
type Phase = Exclude<keyof Multipliers, 'all'>

/** A time limit as this job has it: the phase's own multiplier, else the one for all, else as it stands. */
export function multiplied(
  limitMs: number,
  { timeoutMultipliers: by }: Pick<JobOptions, 'timeoutMultipliers'>,
  phase: Phase,
): number {
  return Math.ceil(limitMs * (by[phase] ?? by.all ?? 1))
}

/** Of the agent's phase in one part of a task. */
export function agentTimeoutMs(part: Pick<TaskPart, 'agent'>, options: JobOptions): number {
  return multiplied(part.agent.timeoutMs ?? options.limits.agentTimeoutMs, options, 'agent')
}

/** Of the tests of one part of a task. */
export function verifierTimeoutMs(part: Pick<TaskPart, 'verifier'>, options: JobOptions): number {
  return multiplied(part.verifier.timeoutMs, options, 'verifier')
}

/** Of the agent's installation. */
export function agentSetupTimeoutMs(options: JobOptions): number {
  return multiplied(installTimeoutMs, options, 'agentSetup')
}

/** How long a health check may take at most. */
export function healthcheckMs(check: Healthcheck | undefined): number {
  if (check === undefined) return 0
  return check.startPeriodMs + check.startIntervalMs + check.retries * (check.intervalMs + check.timeoutMs)
}

/** What a rollout's workflow needs to know of the task. */
export function planOf(task: Task, options: JobOptions): Omit<OpenedRollout, 'lease'> {
  if (task.steps.length === 0) return partPlan(partOf(task), options)
  const steps = partsOf(task).map((part) => ({
    name: part.step ?? '',
    ...partPlan(part, options),
    ...(part.minReward === undefined ? {} : { minReward: part.minReward }),
  }))
  return { ...partPlan(partOf(task), options), steps, rewardStrategy: task.rewardStrategy }
}

function partPlan(part: TaskPart, options: JobOptions): PartPlan {
  return {
    agentTimeoutMs: agentTimeoutMs(part, options),
    verifierTimeoutMs: verifierTimeoutMs(part, options),
    ...(part.verifier.mode === 'separate' ? { separate: true } : {}),
  }
}
