import type { JobOptions } from '../protocol/job.ts'
import type { Problem } from '../providers/contract/provider.ts'
import { partsOf } from '../tasks/task-parts.ts'
import type { Task } from '../tasks/task.ts'
import { agentTimeoutMs, verifierTimeoutMs } from './task-limits.ts'
import { defaultLimits, layeredRuntime } from './resolve-spec.ts'

/** Longer timers fire at once: 24 days. */
const longestMs = 24 * 24 * 3_600_000

/** Limits of a task that cannot all hold, one sentence each. What nobody states is a default, and gives way. */
export function limitProblems(order: { task: Task; options: JobOptions }): Problem[] {
  const stated = layeredRuntime(order).limits ?? {}
  const lifetimeMs = stated.lifetimeMs ?? defaultLimits.lifetimeMs
  const times = { agentMs: agentMs(order), gradingMs: gradingMs(order), lifetimeMs }
  return [
    ...atLeast('limits.lifetimeMs', lifetimeMs, {
      leastMs: times.agentMs + times.gradingMs,
      why: `the agent may take ${times.agentMs} ms and grading ${times.gradingMs} ms; raise it, or lower their limits`,
    }),
    ...atMost('limits.lifetimeMs', lifetimeMs, { mostMs: longestMs, why: 'longer timers do not work' }),
    ...atMost('limits.execTimeoutMs', stated.execTimeoutMs, {
      mostMs: times.agentMs,
      why: 'the agent has no more time than that for everything',
    }),
    ...atMost('limits.startTimeoutMs', stated.startTimeoutMs, {
      mostMs: lifetimeMs,
      why: 'the sandbox does not live longer (limits.lifetimeMs)',
    }),
    ...(typeof stated.idleTimeoutMs === 'number'
      ? [{ field: 'limits.idleTimeoutMs', value: String(stated.idleTimeoutMs), expected: noIdleTimeout }]
      : []),
  ]
}

const noIdleTimeout = 'nothing: no provider ends idle sandboxes yet; remove it, limits.lifetimeMs holds in any case'

/** Of all parts, one after the other. */
function agentMs({ task, options }: { task: Task; options: JobOptions }): number {
  return partsOf(task).reduce((sum, part) => sum + agentTimeoutMs(part, options), 0)
}

function gradingMs({ task, options }: { task: Task; options: JobOptions }): number {
  const once = partsOf(task).reduce((sum, part) => sum + verifierTimeoutMs(part, options), 0)
  return once * options.gradingAttempts
}

function atLeast(field: string, valueMs: number, { leastMs, why }: { leastMs: number; why: string }): Problem[] {
  if (valueMs >= leastMs) return []
  return [{ field, value: String(valueMs), expected: `at least ${leastMs}, since ${why}` }]
}

function atMost(
  field: string,
  valueMs: number | null | undefined,
  { mostMs, why }: { mostMs: number; why: string },
): Problem[] {
  if (valueMs === undefined || valueMs === null || valueMs <= mostMs) return []
  return [{ field, value: String(valueMs), expected: `at most ${mostMs}, since ${why}` }]
}
