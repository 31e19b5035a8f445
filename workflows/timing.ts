import type { ActivityOptions, RetryPolicy } from '@temporalio/workflow'

/**
 * Every timeout, heartbeat and retry of the engine, each with its reason. Together they give recovery within 10 s after
 * a worker's death. Values are milliseconds.
 */
export const timing = {
  /** A dead worker is noticed after this long; activities tick three times as often. */
  heartbeatTimeoutMs: 6_000,
  heartbeatTickMs: 2_000,
  /** Upper bound of the SDK's own throttling: ticks must really leave the worker. */
  maxHeartbeatThrottleIntervalMs: 1_000,
  /** A workflow task handed to a worker that died goes to another one after this long (default 10 s). */
  workflowTaskTimeoutMs: 3_000,
  /** A task waits this long on the queue of a worker that no longer polls (default 10 s). */
  stickyQueueScheduleToStartMs: 1_000,
  /** runTurns returns at a turn's end once this long has passed: fast turns share an activity, slow ones have their own. */
  sliceMs: 5_000,
  /** Beyond the agent's time: the activity still has to store what it has. */
  marginMs: 120_000,
  /** Turns and grading wait this long for somebody to go on with them: a worker, the Engine, the store. */
  absenceMs: 24 * 3_600_000,
  /** Plan: reads the store, asks the provider, may unpack hundreds of tasks. */
  planMs: 15 * 60_000,
  /** Place: asks the provider what it holds already. */
  placeMs: 60_000,
  /** A create call that a dead worker has sent may still be carried out this long after release has begun. */
  lateCreateMs: 20_000,
  /** Record and summarize wait this long for a store that is away. */
  storeMs: 24 * 3_600_000,
  /** Release tries this long; then the sweep has it. */
  releaseMs: 3_600_000,
  /**
   * A sandbox that is said to run, but of which the runner answers neither a ping nor a new attachment for this long, is
   * lost, and so is one that reports no command this long after its timeout: its root can stop everything in it. Twenty
   * times what a busy machine needs, and far less than the limits of turns and tests.
   */
  sandboxSilenceMs: 120_000,
  /** Resetting slots of a pool's sandbox: processes ended, files removed, perhaps millions of them. */
  resetMs: 120_000,
  /** A file or service that is to be told a verdict is tried this long. */
  notifyMs: 3_600_000,
  /** Preparing a step, and collecting what it left: uploads, downloads and commands of the task's author. */
  prepareMs: 3_600_000,
  /** Fixed steps of grading around the tests: fresh directories, upload, reading the reward. */
  gradeOverheadMs: 10 * 60_000,
} as const

/** Worker deaths are not the task's fault, so attempts are unlimited; the schedule-to-close timeout bounds them. */
const untilTimeout: RetryPolicy = { initialInterval: 200, backoffCoefficient: 2, maximumInterval: 10_000 }

/** Unset, the SDK's type is TRY_CANCEL: the workflow would go on while the activity still works in the sandbox. */
const common = {
  cancellationType: 'WAIT_CANCELLATION_COMPLETED',
  heartbeatTimeout: timing.heartbeatTimeoutMs,
} as const satisfies ActivityOptions

/** Options by activity. Those whose time depends on the task are functions of it. */
export const activityOptions = {
  /** What it finds out is final after a few attempts (`planAttempts`), which dead workers do not use up. */
  planJob: {
    ...common,
    startToCloseTimeout: timing.planMs,
    scheduleToCloseTimeout: 4 * timing.planMs,
    retry: untilTimeout,
  },
  listRollouts: { ...common, startToCloseTimeout: 60_000, scheduleToCloseTimeout: timing.storeMs, retry: untilTimeout },
  /** Waits for a host with room; nothing is created yet. */
  placeRollout: (limits: { acquireTimeoutMs: number }) => ({
    ...common,
    startToCloseTimeout: timing.placeMs,
    scheduleToCloseTimeout: limits.acquireTimeoutMs,
    retry: untilTimeout,
  }),
  /** Acquiring (a busy provider) and starting (build, create, ready) have limits of their own in the runtime. */
  openRollout: (limits: { acquireTimeoutMs: number; startTimeoutMs: number }) => ({
    ...common,
    startToCloseTimeout: limits.startTimeoutMs + timing.marginMs,
    scheduleToCloseTimeout: limits.acquireTimeoutMs + limits.startTimeoutMs + timing.marginMs,
    retry: untilTimeout,
  }),
  /** Uploads, a step's setup.sh and its health check; the limits of commands are kept in the sandbox. */
  prepareStep: (startTimeoutMs: number) => ({
    ...common,
    startToCloseTimeout: startTimeoutMs + timing.prepareMs,
    scheduleToCloseTimeout: 2 * (startTimeoutMs + timing.prepareMs),
    retry: untilTimeout,
  }),
  /** Commands that make evidence, then at most 1 GiB out of the sandbox. */
  collectArtifacts: {
    ...common,
    startToCloseTimeout: timing.prepareMs,
    scheduleToCloseTimeout: 2 * timing.prepareMs,
    retry: untilTimeout,
  },
  /** One turn may be one long command, so an attempt may take all of the agent's time. */
  runTurns: (agentMs: number) => ({
    ...common,
    startToCloseTimeout: agentMs + timing.marginMs,
    scheduleToCloseTimeout: agentMs + timing.absenceMs,
    retry: untilTimeout,
  }),
  /** The workflow numbers grading attempts; what is retried here are dead workers. */
  gradeRollout: (verifierTimeoutMs: number) => ({
    ...common,
    startToCloseTimeout: verifierTimeoutMs + timing.gradeOverheadMs,
    scheduleToCloseTimeout: verifierTimeoutMs + timing.gradeOverheadMs + timing.absenceMs,
    retry: untilTimeout,
  }),
  recordRollout: {
    ...common,
    startToCloseTimeout: 30 * 60_000,
    scheduleToCloseTimeout: timing.storeMs,
    retry: untilTimeout,
  },
  releaseSandbox: {
    ...common,
    startToCloseTimeout: 10 * 60_000,
    scheduleToCloseTimeout: timing.releaseMs,
    retry: untilTimeout,
  },
  summarizeJob: {
    ...common,
    startToCloseTimeout: 30 * 60_000,
    scheduleToCloseTimeout: timing.storeMs,
    retry: untilTimeout,
  },
  /** Reads a taskset where the schedule names a path on the worker. */
  prepareScheduledJob: {
    ...common,
    startToCloseTimeout: timing.planMs,
    scheduleToCloseTimeout: 4 * timing.planMs,
    retry: untilTimeout,
  },
  judgeScheduledJob: {
    ...common,
    startToCloseTimeout: 30 * 60_000,
    scheduleToCloseTimeout: timing.storeMs,
    retry: untilTimeout,
  },
  /** Who is told may be away for a while; the verdict stands in the store all the same. */
  notifyVerdict: {
    ...common,
    startToCloseTimeout: 60_000,
    scheduleToCloseTimeout: timing.notifyMs,
    retry: untilTimeout,
  },
  /** Waits for a host with room; the pool tries again later. */
  placePoolSandbox: {
    ...common,
    startToCloseTimeout: timing.placeMs,
    scheduleToCloseTimeout: 10 * 60_000,
    retry: untilTimeout,
  },
  openPoolSandbox: (startTimeoutMs: number) => ({
    ...common,
    startToCloseTimeout: startTimeoutMs + timing.marginMs,
    scheduleToCloseTimeout: 2 * startTimeoutMs + timing.marginMs,
    retry: untilTimeout,
  }),
  /** Some commands in a sandbox that may be busy; one that cannot be reset for so long is replaced. */
  resetSlots: {
    ...common,
    startToCloseTimeout: timing.resetMs,
    scheduleToCloseTimeout: 5 * timing.resetMs,
    retry: untilTimeout,
  },
  /** Who is not there to begin it tells that the host may be lost. */
  checkPool: {
    ...common,
    scheduleToStartTimeout: 60_000,
    startToCloseTimeout: 60_000,
    scheduleToCloseTimeout: 2 * 60_000,
    retry: untilTimeout,
  },
  removePoolSandbox: {
    ...common,
    startToCloseTimeout: 10 * 60_000,
    scheduleToCloseTimeout: timing.releaseMs,
    retry: untilTimeout,
  },
  findClosedWorkflows: {
    ...common,
    startToCloseTimeout: 60_000,
    scheduleToCloseTimeout: 10 * 60_000,
    retry: untilTimeout,
  },
} as const

/** Rollouts per shard: a child costs its parent up to 9 events, and continue-as-new is advised at 4,096. */
export const rolloutsPerShard = 250
