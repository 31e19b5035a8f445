/** What holds where a run says nothing. */
export const runDefaults = {
  agent: 'oracle',
  provider: 'docker',
  attempts: 1,
  concurrency: 4,
  maxTurns: 200,
  agentTimeoutMs: 3_600_000,
  sandboxLoss: { policy: 'fail', maxIncarnations: 3, hostLostMs: 120_000 },
  gradingAttempts: 1,
  keep: 'never',
  worker: 'own',
} as const
