import type { Agent } from './agent.ts'

/**
 * Stands for the agent of an earlier job whose work is graded again: does nothing itself. What that rollout's artifacts
 * hold is put into the sandbox before its only turn.
 * @param job the earlier job
 */
export function createStoredAgent(job: string): Agent {
  return {
    name: 'stored',
    restores: job,
    next: async () => ({ done: true, reason: `the artifacts of job ${job} are in their places` }),
  }
}
