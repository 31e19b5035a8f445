import type { JobOptions } from './job.ts'

/** For tests: options of a small job, as the store keeps them. */
export function jobOptions(overrides: Partial<JobOptions> = {}): JobOptions {
  return {
    version: 1,
    taskset: 'tasks',
    tasks: [{ name: 'a', checksum: 'c0ffee' }],
    agents: [{ kind: 'nop', label: 'nop', args: {} }],
    provider: { name: 'local', options: {} },
    runtime: {},
    imageMap: {},
    attempts: 1,
    concurrency: 1,
    limits: { maxTurns: 10, agentTimeoutMs: 1_000 },
    sandboxLoss: { policy: 'fail', maxIncarnations: 1, hostLostMs: 120_000 },
    gradingAttempts: 1,
    timeoutMultipliers: {},
    ignoreDockerImage: false,
    keep: 'never',
    ...overrides,
  }
}
