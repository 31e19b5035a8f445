import { randomUUID } from 'node:crypto'
import { Taskset } from '../client/index.ts'
import type { RunOptions } from '../client/index.ts'
import type { RolloutResult } from '../protocol/grade.ts'
import { readPlan, readResults } from '../results/read-job.ts'
import type { Store } from '../store/store.ts'
import type { Bench } from './bench.ts'

export interface TimedJob {
  readonly job: string
  readonly store: Store
  /** From the call of `run` to the answer of `result`. */
  readonly tookMs: number
  readonly results: readonly RolloutResult[]
}

/** Runs a job on the workers that serve, through the client. @throws when a rollout is not graded */
export async function timedJob(bench: Bench, taskset: string, options: RunOptions): Promise<TimedJob> {
  const { environment, imageMap } = bench
  const job = benchJobId()
  const loaded = await Taskset.load(taskset)
  const startedAt = performance.now()
  const running = await loaded.run({ job, environment, imageMap, worker: 'shared', ...options })
  try {
    const summary = await running.result()
    const tookMs = performance.now() - startedAt
    const { store } = running
    const names = ((await readPlan(store, job)) ?? []).map(({ name }) => name)
    const results = await readResults(store, job, names)
    const failed = summary.rollouts.find(({ state }) => state !== 'graded')
    if (failed !== undefined) throw new Error(`${failed.id}: ${failed.failure?.code} ${failed.failure?.message}`)
    return { job, store, tookMs, results }
  } finally {
    await running.close()
  }
}

export function benchJobId(): string {
  return `bench-${randomUUID().slice(0, 8)}`
}

/** How long a phase took by the workflow's clock, in milliseconds. */
export function phaseMs(result: RolloutResult, phase: 'open' | 'turns' | 'grade'): number {
  const times = result.phases[phase]
  if (times === undefined) throw new Error(`${result.id} has no times of ${phase}`)
  return Date.parse(times.finishedAt) - Date.parse(times.startedAt)
}
