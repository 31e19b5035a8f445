import { resolve } from 'node:path'
import type { AgentSpec } from '../agents/agent.ts'
import { failureKinds, RollcallError } from '../protocol/failure.ts'
import type { RolloutResult } from '../protocol/grade.ts'
import type { JobOptions } from '../protocol/job.ts'
import { counted } from '../protocol/names.ts'
import { readJobOptions, readPlan, readResults } from '../results/read-job.ts'
import { openStore } from '../store/open-store.ts'
import type { Store } from '../store/store.ts'
import { replaceTests } from '../tasks/replace-tests.ts'
import { fetchTask } from '../tasks/task-copy.ts'
import type { Task } from '../tasks/task.ts'
import { unknownKeys } from './check-run-options.ts'
import { environmentOfProcess } from './environment.ts'
import type { Job } from './job.ts'
import { assertJobId, launchJob } from './launch-job.ts'
import { assertOver, freeId } from './rerun-job.ts'
import type { RunOptions } from './run-options.ts'

/** What is said anew when a job is graded again; everything else is as it was. */
export interface RegradeOptions extends Pick<
  RunOptions,
  'job' | 'concurrency' | 'requireIntegrity' | 'gradingAttempts' | 'worker' | 'onProgress' | 'environment'
> {
  /**
   * Other tests: `DIR/<task>/tests`, or DIR itself for every task where it holds `test.sh`. Default: those that the job
   * had.
   */
  readonly tests?: string
}

const known = {
  job: true,
  concurrency: true,
  requireIntegrity: true,
  gradingAttempts: true,
  worker: true,
  onProgress: true,
  environment: true,
  tests: true,
} satisfies Record<keyof RegradeOptions, true>

/**
 * Grades the stored artifacts of a job that is over again, without its agents, as a new job: a new sandbox from each
 * task's image, the artifacts at their original paths, then the tests. Rollouts that ended before they were graded are
 * named and left out; one whose artifacts were not kept fails as `artifacts-missing`. Default id: `<parent>-g1`, …
 * @throws RollcallError `configuration-invalid` for an unknown job, one that runs, one without graded rollouts, and tests
 *   for none of its tasks; `task-invalid`
 */
export async function regradeJob(parent: string, options: RegradeOptions = {}): Promise<Job> {
  const unknown = unknownKeys('', options, known)
  if (unknown.length > 0) throw new RollcallError('configuration-invalid', `regradeJob: ${unknown.join('; ')}`)
  const environment = options.environment ?? environmentOfProcess()
  const onProgress = options.onProgress ?? (() => {})
  const store = openStore(environment.storeUrl)
  const stored = await readJobOptions(store, parent)
  await assertOver(parent, { store, environment, onProgress })
  const rollouts = await gradedRollouts(parent, { store, onProgress })
  const names = new Set(rollouts.map(({ task }) => task))
  const kept = stored.tasks.filter(({ name }) => names.has(name))
  const { cacheDirectory, workingDirectory } = environment
  const tests = options.tests === undefined ? undefined : resolve(workingDirectory, options.tests)
  const replaced = tests === undefined ? [] : await otherTests(kept, { tests, store, cacheDirectory, onProgress })
  const id = options.job ?? (await freeId(store, parent, 'g'))
  assertJobId(id)
  const regraded = regradeOptions({ parent, stored, rollouts, tasks: withChecksums(kept, replaced), options })
  const prepared = { options: regraded, bundles: [] }
  return await launchJob({ id, prepared, tasks: replaced, environment, worker: options.worker ?? 'own', onProgress })
}

/** Those that came as far as their grading: what became of the others, no tests can say. */
async function gradedRollouts(
  job: string,
  { store, onProgress }: { store: Store; onProgress: (line: string) => void },
): Promise<RolloutResult[]> {
  const planned = (await readPlan(store, job)) ?? []
  const names = planned.map(({ name }) => name)
  const results = await readResults(store, job, names)
  const graded = results.filter(wasGraded)
  const others = results.filter((result) => !wasGraded(result))
  for (const { name, failure } of others)
    onProgress(`${name} is left out: it ended before it was graded (${failure?.code})`)
  if (graded.length === 0) {
    throw new RollcallError(
      'configuration-invalid',
      `Job ${job} has no graded rollouts: there is nothing to grade again`,
    )
  }
  onProgress(`${graded.length} of ${counted(planned.length, 'rollout')} of ${job} to grade again`)
  return graded
}

/** Also one whose judge did not answer: the agent's work was done. */
function wasGraded({ state, failure, gradingAttempts }: RolloutResult): boolean {
  if (state === 'graded') return true
  if (state === 'cancelled' || failure === undefined) return false
  const isJudge = failure.code === 'model-unavailable' || failure.code === 'model-rejected'
  return failureKinds[failure.code].actor === 'grader' || (isJudge && gradingAttempts > 0)
}

async function otherTests(
  tasks: JobOptions['tasks'],
  at: { tests: string; store: Store; cacheDirectory: string; onProgress: (line: string) => void },
): Promise<Task[]> {
  const { tests: directory, store, cacheDirectory } = at
  const replaced: Task[] = []
  for (const { name, checksum } of tasks) {
    const task = { ...(await fetchTask(store, cacheDirectory, checksum)), name }
    const other = await replaceTests(task, { directory, cacheDirectory })
    if (other === undefined) at.onProgress(`task ${name} keeps its tests: ${directory} has no ${name}/tests`)
    else replaced.push(other)
  }
  if (replaced.length > 0) return replaced
  throw new RollcallError(
    'configuration-invalid',
    `--tests is ${directory}: expected a folder with test.sh, or with TASK/tests for one of ${tasks.map(({ name }) => name).join(', ')}`,
  )
}

function withChecksums(tasks: JobOptions['tasks'], replaced: readonly Task[]): JobOptions['tasks'] {
  return tasks.map(({ name, checksum }) => ({
    name,
    checksum: replaced.find((task) => task.name === name)?.checksum ?? checksum,
  }))
}

function regradeOptions(of: {
  parent: string
  stored: JobOptions
  rollouts: readonly RolloutResult[]
  tasks: JobOptions['tasks']
  options: RegradeOptions
}): JobOptions {
  const { parent, stored, rollouts, tasks, options } = of
  const labels = new Set(rollouts.map(({ agent }) => agent))
  return {
    ...stored,
    concurrency: options.concurrency ?? stored.concurrency,
    gradingAttempts: options.gradingAttempts ?? stored.gradingAttempts,
    ...(options.requireIntegrity === undefined ? {} : { requireIntegrity: options.requireIntegrity }),
    tasks,
    agents: stored.agents.filter(({ label }) => labels.has(label)).map((agent) => storedAgent(agent, parent)),
    parentJob: parent,
    rollouts: rollouts.map(({ name }) => name),
  }
}

/** Under the same label, so that both jobs' rollouts have the same names; of a job that was graded again, the first. */
function storedAgent({ kind, label, args }: JobOptions['agents'][number], job: string): AgentSpec {
  return { kind: 'stored', label, args: { job: kind === 'stored' ? (args['job'] ?? job) : job } }
}
