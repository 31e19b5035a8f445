import { RollcallError } from '../protocol/failure.ts'
import type { JobOptions, PlannedRollout } from '../protocol/job.ts'
import { counted } from '../protocol/names.ts'
import { findJobOptions, readJobOptions, readPlan, readResults, readSummary } from '../results/read-job.ts'
import { openStore } from '../store/open-store.ts'
import type { Store } from '../store/store.ts'
import { unknownKeys } from './check-run-options.ts'
import { connectTemporal } from './connect.ts'
import { environmentOfProcess } from './environment.ts'
import type { ClientEnvironment } from './environment.ts'
import type { Job } from './job.ts'
import { assertJobId, launchJob } from './launch-job.ts'
import type { RunOptions } from './run-options.ts'

/** What is said anew when rollouts are run again; everything else is as it was. */
export interface RerunOptions extends Pick<
  RunOptions,
  'job' | 'concurrency' | 'worker' | 'onProgress' | 'environment'
> {
  /** Names (`<task>.<agent>.<attempt>`) or ids of rollouts. Default: all that failed or were cancelled. */
  readonly rollouts?: readonly string[]
}

/**
 * Runs rollouts of a job that is over again, as a new job: the same tasks, agents and options out of the store, nothing
 * of which is read from files again. `parentJob` of the new job, its lock file and its summary name the earlier one.
 * Default id: `<parent>-r1`, `-r2`, …, the first that is free.
 * @throws RollcallError `configuration-invalid` for an unknown job, one that runs, one without failed rollouts, and for
 *   rollouts that it does not have
 */
export async function rerunJob(parent: string, options: RerunOptions = {}): Promise<Job> {
  assertKnown(options)
  const environment = options.environment ?? environmentOfProcess()
  const onProgress = options.onProgress ?? (() => {})
  const store = openStore(environment.storeUrl)
  const stored = await readJobOptions(store, parent)
  await assertOver(parent, { store, environment, onProgress })
  const planned = (await readPlan(store, parent)) ?? []
  const rollouts =
    options.rollouts === undefined ? await notGraded(store, parent, planned) : named(parent, planned, options.rollouts)
  onProgress(
    `${counted(rollouts.length, 'rollout')} of ${counted(planned.length, 'rollout')} of ${parent} to run again`,
  )
  const id = options.job ?? (await freeId(store, parent))
  assertJobId(id)
  const prepared = {
    options: rerunOptions({ parent, stored, rollouts, concurrency: options.concurrency }),
    bundles: [],
  }
  return await launchJob({ id, prepared, tasks: [], environment, worker: options.worker ?? 'own', onProgress })
}

const known = {
  job: true,
  concurrency: true,
  worker: true,
  onProgress: true,
  environment: true,
  rollouts: true,
} satisfies Record<keyof RerunOptions, true>

function assertKnown(options: RerunOptions): void {
  const problems = unknownKeys('', options, known)
  if (problems.length === 0) return
  throw new RollcallError('configuration-invalid', `The options of rerunJob are wrong: ${problems.join('; ')}`)
}

/** Of the parent's options, only what these rollouts need. */
function rerunOptions(of: {
  parent: string
  stored: JobOptions
  rollouts: readonly PlannedRollout[]
  concurrency: number | undefined
}): JobOptions {
  const { parent, stored, rollouts, concurrency = stored.concurrency } = of
  const [tasks, agents] = [new Set(rollouts.map(({ task }) => task)), new Set(rollouts.map(({ agent }) => agent))]
  return {
    ...stored,
    concurrency,
    tasks: stored.tasks.filter(({ name }) => tasks.has(name)),
    agents: stored.agents.filter(({ label }) => agents.has(label)),
    parentJob: parent,
    rollouts: rollouts.map(({ name }) => name),
  }
}

/** A job without a summary may still run, or be lost: only the server knows. */
export async function assertOver(
  job: string,
  at: { store: Store; environment: ClientEnvironment; onProgress: (line: string) => void },
): Promise<void> {
  if ((await readSummary(at.store, job)) !== undefined) return
  const temporal = await connectTemporal({ ...at.environment, onProgress: at.onProgress })
  try {
    const described = await temporal.client.workflow
      .getHandle(job)
      .describe()
      .catch((error: unknown) => {
        if (error instanceof Error && error.name === 'WorkflowNotFoundError') return undefined
        throw error
      })
    if (described?.status.name !== 'RUNNING') return
  } finally {
    await temporal.close()
  }
  throw new RollcallError(
    'configuration-invalid',
    `Job ${job} still runs: expected one that is over; rollcall watch ${job} waits for its end`,
  )
}

async function notGraded(store: Store, job: string, planned: readonly PlannedRollout[]): Promise<PlannedRollout[]> {
  const names = planned.map(({ name }) => name)
  const results = await readResults(store, job, names)
  const graded = new Set(results.filter(({ state }) => state === 'graded').map(({ name }) => name))
  const others = planned.filter(({ name }) => !graded.has(name))
  if (others.length > 0) return others
  const why = planned.length === 0 ? 'was never planned' : `has graded all of its ${counted(planned.length, 'rollout')}`
  throw new RollcallError('configuration-invalid', `Job ${job} ${why}: there is nothing to run again`)
}

function named(job: string, planned: readonly PlannedRollout[], asked: readonly string[]): PlannedRollout[] {
  const names = new Set(asked.map((name) => (name.startsWith(`${job}.`) ? name.slice(job.length + 1) : name)))
  const unknown = [...names].filter((name) => planned.every((rollout) => rollout.name !== name))
  if (unknown.length === 0 && names.size > 0) return planned.filter(({ name }) => names.has(name))
  const found = unknown.length === 0 ? 'no rollout is named' : `job ${job} has no ${unknown.join(', ')}`
  const example = planned[0] === undefined ? '' : `, for instance ${planned[0].name}`
  throw new RollcallError(
    'configuration-invalid',
    `Rollouts to run again: ${found}: expected TASK.AGENT.ATTEMPT of that job${example}`,
  )
}

/** The longest id leaves room for `-r999`. */
const longestParent = 95

/** `<parent>-r1` and so on: the first that is free. */
export async function freeId(store: Store, parent: string, letter: 'r' | 'g' = 'r'): Promise<string> {
  for (let count = 1; ; count += 1) {
    const id = `${parent.slice(0, longestParent)}-${letter}${count}`
    if ((await findJobOptions(store, id)) === undefined) return id
  }
}
