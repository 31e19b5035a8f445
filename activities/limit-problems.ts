import type { JobOptions } from '../protocol/job.ts'
import type { Problem } from '../providers/contract/provider.ts'
import type { Task } from '../tasks/task.ts'
import { layeredRuntime, phasesOf } from './resolve-spec.ts'

/** Limits of a task that cannot all hold, one sentence each. What nobody states is a default, and gives way. */
export function limitProblems(order: { task: Task; options: JobOptions; endsIdle: boolean }): Problem[] {
  const stated = layeredRuntime(order).limits ?? {}
  const { agentMs, gradingMs } = phasesOf(order)
  return [
    ...atLeast('limits.lifetimeMs', stated.lifetimeMs, {
      leastMs: agentMs + gradingMs,
      why: `the agent may take ${agentMs} ms and grading ${gradingMs} ms; raise it, or lower their limits`,
    }),
    ...atMost('limits.execTimeoutMs', stated.execTimeoutMs, {
      mostMs: agentMs,
      why: 'the agent has no more time than that for everything',
    }),
    ...atMost('limits.startTimeoutMs', stated.startTimeoutMs, {
      mostMs: stated.lifetimeMs ?? Infinity,
      why: 'the sandbox does not live longer (limits.lifetimeMs)',
    }),
    ...(order.endsIdle
      ? atLeast('limits.idleTimeoutMs', stated.idleTimeoutMs, {
          leastMs: agentMs,
          why: `an agent may think so long between two commands; raise it, or lower the agent's limit`,
        })
      : withoutIdleLimit(stated.idleTimeoutMs)),
  ]
}

function withoutIdleLimit(valueMs: number | null | undefined): Problem[] {
  if (typeof valueMs !== 'number') return []
  const expected = 'nothing: this provider ends no idle sandboxes; remove it, limits.lifetimeMs holds in any case'
  return [{ field: 'limits.idleTimeoutMs', value: String(valueMs), expected }]
}

function atLeast(
  field: string,
  valueMs: number | null | undefined,
  { leastMs, why }: { leastMs: number; why: string },
): Problem[] {
  if (valueMs === undefined || valueMs === null || valueMs >= leastMs) return []
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
