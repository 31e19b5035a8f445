/** Every key of the store, in one place. `rollout` is a rollout's name inside its job. */

export const jobKey = (job: string): string => `jobs/${job}/job.json`
/** Written by the client just before the start: proves that client and worker share the store. */
export const proofKey = (job: string): string => `jobs/${job}/proof`
/** The job's plan: all rollouts in order, written by planJob. */
/** Why there will be no plan: Temporal forgets that before the store does. */
export const planFailureKey = (job: string): string => `jobs/${job}/plan-failure.json`
export const planKey = (job: string): string => `jobs/${job}/plan.json`
/** Versions, task checksums, image digests: written by summarizeJob. */
export const lockKey = (job: string): string => `jobs/${job}/lock.json`
export const summaryKey = (job: string): string => `jobs/${job}/summary.json`

/** A copy of a task's directory as a tar, by content hash; shared by all jobs. */
export const taskKey = (checksum: string): string => `tasks/${checksum}.tar`
/** A bundled TypeScript agent, by content hash. */
export const bundleKey = (hash: string): string => `bundles/${hash}.mjs`

export const rolloutPrefix = (job: string, rollout: string): string => `jobs/${job}/rollouts/${rollout}/`
export const resultKey = (job: string, rollout: string): string => `${rolloutPrefix(job, rollout)}result.json`
export const traceKey = (job: string, rollout: string): string => `${rolloutPrefix(job, rollout)}trace.jsonl`

const padded = (n: number): string => String(n).padStart(6, '0')

export interface RolloutPlace {
  readonly job: string
  readonly rollout: string
  readonly incarnation: number
}

const incarnationPrefix = (at: RolloutPlace): string => `${rolloutPrefix(at.job, at.rollout)}i${at.incarnation}/`

/** What openRollout found out: sandbox, image, times. */
export const openedKey = (at: RolloutPlace): string => `${incarnationPrefix(at)}opened.json`

const turnsPrefix = (at: RolloutPlace & { phase: number }): string => `${incarnationPrefix(at)}p${at.phase}/turns/`
/** The agent's answer of a turn: put before it is acted on. */
export const answerKey = (at: RolloutPlace & { phase: number; turn: number }): string =>
  `${turnsPrefix(at)}${padded(at.turn)}.answer.json`
/** The results of a turn's calls: put when all have ended. */
export const turnResultKey = (at: RolloutPlace & { phase: number; turn: number }): string =>
  `${turnsPrefix(at)}${padded(at.turn)}.result.json`
/** Full output of one exec. */
export const outputKey = (at: RolloutPlace & { exec: string; stream: 'stdout' | 'stderr' }): string =>
  `${incarnationPrefix(at)}execs/${at.exec}.${at.stream}`
/** An image that a tool has shown, by the id of the exec that read it. */
export const imageKey = (at: RolloutPlace & { exec: string }): string => `${incarnationPrefix(at)}images/${at.exec}`
/** Everything one grading attempt found: reward, integrity, evidence. */
export const gradeKey = (at: RolloutPlace & { phase: number }): string =>
  `${incarnationPrefix(at)}p${at.phase}/grade.json`
/** The sandbox of a separate verifier, made for the grading attempt of this phase. */
export const verifierOpenedKey = (at: RolloutPlace & { phase: number }): string =>
  `${incarnationPrefix(at)}p${at.phase}/opened.json`
/** What a step's preparation did. */
export const preparedKey = (at: RolloutPlace & { phase: number }): string =>
  `${incarnationPrefix(at)}p${at.phase}/prepared.json`
/** One run of a health check, from 0. */
export const healthKey = (at: RolloutPlace & { phase: number; round: number }): string =>
  `${incarnationPrefix(at)}p${at.phase}/health/${padded(at.round)}.json`
/** What was collected in a phase, with the keys of its tars. */
export const collectedKey = (at: RolloutPlace & { phase: number }): string =>
  `${incarnationPrefix(at)}p${at.phase}/collected.json`
export const collectedTarKey = (at: RolloutPlace & { phase: number; index: number }): string =>
  `${incarnationPrefix(at)}p${at.phase}/artifacts/${padded(at.index)}.tar`
/** Who entered the sandbox of an incarnation with `rollcall shell`: an object for each time, put before the shell opens. */
export const enteredPrefix = (at: RolloutPlace): string => `${incarnationPrefix(at)}entered/`
/** A file that a grading attempt left (`test-stdout.txt`, `reward.json`). */
export const gradeFileKey = (at: RolloutPlace & { phase: number; name: string }): string =>
  `${incarnationPrefix(at)}p${at.phase}/verifier/${at.name}`

/** What the jobs of a schedule are made from, by content hash. */
export const scheduleConfigKey = (hash: string): string => `schedule-configs/${hash}.json`
export const schedulePrefix = (schedule: string): string => `schedules/${schedule}/`
/** What one job of a schedule came to, by when it was due in ISO 8601's basic form: `20261121T030000Z`. */
export const verdictKey = (at: { schedule: string; scheduledAt: string }): string =>
  `${schedulePrefix(at.schedule)}${at.scheduledAt.replaceAll(/[-:]/g, '')}`
/** The verdict of that job has been told to a file or a service: put after it was. */
export const notifiedKey = (job: string, whom: 'file' | 'url'): string => `jobs/${job}/notified-${whom}`
