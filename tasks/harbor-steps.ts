import type { BuildContexts } from './harbor-images.ts'
import { milliseconds } from './harbor-runtime.ts'
import type { HarborArtifact, HarborHealthcheck, HarborStep, HarborTaskFile } from './harbor-schema.ts'
import { verifierOf } from './harbor-verifier.ts'
import type { Healthcheck, TaskAgent, TaskArtifact, TaskStep } from './task.ts'

/** The steps of a task, each with what it takes over from the task. */
export function stepsOf(
  file: HarborTaskFile,
  contexts: BuildContexts,
  instructions: ReadonlyMap<string, string>,
): TaskStep[] {
  return (file.steps ?? []).map((step) => ({
    name: step.name,
    instruction: instructions.get(step.name) ?? '',
    agent: agentOf(file, step),
    verifier: verifierOf(file, contexts, step),
    ...(step.min_reward === undefined ? {} : { minReward: leastRewards(step.min_reward) }),
    ...(step.healthcheck === undefined ? {} : { healthcheck: healthcheckOf(step.healthcheck) }),
    artifacts: (step.artifacts ?? []).map(artifactOf),
  }))
}

/** The agent's limits in a step, or of the whole task. */
export function agentOf(file: HarborTaskFile, step?: HarborStep): TaskAgent {
  const timeoutSeconds = step?.agent?.timeout_sec ?? file.agent?.timeout_sec
  const user = step?.agent?.user ?? file.agent?.user
  return {
    ...(timeoutSeconds === undefined ? {} : { timeoutMs: milliseconds(timeoutSeconds) }),
    ...(user === undefined ? {} : { user: String(user) }),
  }
}

export function artifactOf({ source, destination, exclude = [] }: HarborArtifact): TaskArtifact {
  return { source, ...(destination ? { destination } : {}), exclude }
}

/** Defaults are Harbor's. */
export function healthcheckOf(check: HarborHealthcheck): Healthcheck {
  return {
    command: check.command,
    intervalMs: milliseconds(check.interval_sec ?? 5),
    timeoutMs: milliseconds(check.timeout_sec ?? 30),
    startPeriodMs: milliseconds(check.start_period_sec ?? 0),
    startIntervalMs: milliseconds(check.start_interval_sec ?? 5),
    retries: Math.max(1, check.retries ?? 3),
  }
}

/** A bare number is about the reward named `reward`. */
function leastRewards(least: number | Readonly<Record<string, number>>): Readonly<Record<string, number>> {
  return typeof least === 'number' ? { reward: least } : least
}
