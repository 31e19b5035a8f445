import { setTimeout as delay } from 'node:timers/promises'
import type { CallResult, Decision } from '../../agents/agent.ts'
import { readTranscript } from '../../activities/transcript.ts'
import type { JobEvent } from '../../protocol/events.ts'
import type { JobSummary, RolloutResult } from '../../protocol/grade.ts'
import { rolloutId } from '../../protocol/names.ts'
import { readPlan, readResults } from '../../results/read-job.ts'
import { traceKey } from '../../store/keys.ts'
import type { Store } from '../../store/store.ts'
import type { ChaosSite } from './chaos-site.ts'

/** What a rollout came to, as far as two runs of it can be compared. */
export interface RolloutRecord {
  readonly result: RolloutResult
  /** Of the last incarnation, turn by turn. */
  readonly turns: readonly { readonly decision: Decision; readonly results: readonly CallResult[] }[]
  /** Exec ids of all incarnations, as the trace names them. */
  readonly execs: readonly string[]
}

export async function readRecords(store: Store, job: string): Promise<Map<string, RolloutRecord>> {
  const names = ((await readPlan(store, job)) ?? []).map(({ name }) => name)
  const results = await readResults(store, job, names)
  const records = await Promise.all(results.map((result) => readRecord(store, job, result)))
  return new Map(records.map((record) => [record.result.name, record]))
}

async function readRecord(store: Store, job: string, result: RolloutResult): Promise<RolloutRecord> {
  const at = { job, rollout: result.name, incarnation: result.incarnations, phase: 1 }
  const trace = (await store.get(traceKey(job, result.name)))?.toString() ?? ''
  const lines = trace
    .split('\n')
    .flatMap((line) => (line === '' ? [] : [JSON.parse(line) as { type: string; id?: string }]))
  const execs = lines.flatMap(({ type, id }) => (type === 'exec' && id !== undefined ? [id] : []))
  return { result, turns: await readTranscript(store, at), execs }
}

export function lostCalls({ turns }: RolloutRecord): number {
  return turns.flatMap(({ results }) => results).filter(({ outcome }) => outcome === 'lost').length
}

/** How often each rollout was hit by what may cost it something. */
export interface Damage {
  readonly sandboxesKilled: number
  readonly supervisorsKilled: number
}

/**
 * One rollout against the same one without faults: graded once, the same transcript, the same grade, and no sandbox more
 * than were killed. Only where the process that watched over a command was killed may that one command be lost.
 */
export function brokenInRollout(
  calm: RolloutRecord | undefined,
  stormy: RolloutRecord | undefined,
  damage: Damage,
): string[] {
  if (calm === undefined || stormy === undefined) return ['it has no result']
  const { result } = stormy
  const broken: string[] = []
  const expect = (holds: boolean, otherwise: string) => void (holds || broken.push(otherwise))
  expect(result.state === 'graded', `it is ${result.state}: ${result.failure?.code} ${result.failure?.message}`)
  expect(result.incarnations <= 1 + damage.sandboxesKilled, `it had ${result.incarnations} sandboxes`)
  expect(result.gradingAttempts <= 1 + damage.sandboxesKilled, `it was graded ${result.gradingAttempts} times`)
  expect(new Set(stormy.execs).size === stormy.execs.length, 'its trace has a command twice')
  expect(result.rewards?.['doubled'] === 0, `${result.rewards?.['doubled']} effects happened more than once`)
  const lost = lostCalls(stormy)
  expect(lost <= damage.supervisorsKilled, `${lost} calls are lost`)
  if (lost === 0 && broken.length === 0) {
    expect(
      sameJson(result.rewards, calm.result.rewards),
      `graded ${shown(result.rewards)}, not ${shown(calm.result.rewards)}`,
    )
    expect(sameJson(transcript(stormy), transcript(calm)), 'its transcript differs')
  }
  const missing = (result.rewards?.['missing'] ?? 0) - (calm.result.rewards?.['missing'] ?? 0)
  expect(missing <= lost, `${missing} effects are missing, and ${lost} calls are lost`)
  return broken
}

const transcript = ({ turns }: RolloutRecord) => turns.map(({ decision, results }) => ({ decision, results }))
const shown = (value: unknown): string => JSON.stringify(value)

function sameJson(a: unknown, b: unknown): boolean {
  return shown(sorted(a)) === shown(sorted(b))
}

function sorted(value: unknown): unknown {
  if (Array.isArray(value)) return value.map(sorted)
  if (typeof value !== 'object' || value === null) return value
  return Object.fromEntries(
    Object.entries(value)
      .toSorted(([a], [b]) => a.localeCompare(b))
      .map(([k, v]) => [k, sorted(v)]),
  )
}

/** What the command printed: each rollout ends once, and the last line sums up all of them. */
export function brokenInOutput(stdout: string, planned: readonly string[]): string[] {
  const lines = stdout.split('\n').flatMap((line) => (line === '' ? [] : [JSON.parse(line) as JobEvent | JobSummary]))
  const ends = lines.flatMap((line) => (line.type === 'rollout' && line.state !== 'started' ? [line.rollout] : []))
  const twice = ends.filter((name, index) => ends.indexOf(name) !== index)
  const last = lines.at(-1)
  return [...twice.map((name) => `the command said twice that ${name} has ended`), ...brokenInSummary(last, planned)]
}

function brokenInSummary(summary: JobEvent | JobSummary | undefined, planned: readonly string[]): string[] {
  if (summary?.type !== 'summary') return ['the command ended without a summary']
  const names = summary.rollouts.map(({ task, agent, attempt }) => `${task}.${agent}.${attempt}`)
  const isComplete = sameJson(names.toSorted(), [...planned].toSorted())
  return isComplete ? [] : [`the summary has ${names.length} rollouts of ${planned.length}, or another`]
}

/** Each workflow of the job has one run, and that has completed; of a cancelled job, some never began. */
export async function brokenInWorkflows(
  client: { list: (query: string) => Promise<{ workflowId: string; runId: string; status: string }[]> },
  job: { id: string; isCancelled: boolean },
  planned: readonly string[],
): Promise<string[]> {
  const { id: jobId, isCancelled } = job
  const runs = await client.list(`WorkflowId = "${jobId}" OR WorkflowId STARTS_WITH "${jobId}."`)
  const wanted = [jobId, ...planned.map((name) => rolloutId(jobId, name))]
  const wrong = wanted.filter((id) => {
    const [first, ...others] = runs.filter(({ workflowId }) => workflowId === id)
    if (isCancelled && first === undefined) return id === jobId
    const isOver = first?.status === 'COMPLETED' || (isCancelled && first?.status === 'CANCELLED')
    return !isOver || others.length > 0
  })
  const more = runs.length - wanted.length
  return [
    ...wrong.map((id) => `workflow ${id} has not ended exactly once, completed`),
    ...(more > 0 ? [`there are ${more} more runs of workflows than rollouts`] : []),
  ]
}

/** Waits until nothing of the jobs is left but the server; what stays too long is told. */
export async function whatIsLeft(site: ChaosSite, jobs: readonly string[], withinMs: number): Promise<string[]> {
  for (const deadline = Date.now() + withinMs; ;) {
    const left = await leftNow(site, jobs)
    if (left.length === 0 || Date.now() > deadline) return left
    await delay(200)
  }
}

async function leftNow(site: ChaosSite, jobs: readonly string[]): Promise<string[]> {
  const sandboxes = (await Promise.all(jobs.map((job) => site.place.sandboxes(job)))).flat()
  const networks = (await Promise.all(jobs.map((job) => site.place.networks(job)))).flat()
  const server = await site.serverPid()
  const processes = (await site.processes()).filter(({ pid }) => pid !== server)
  return [
    ...sandboxes.map(({ name, state }) => `sandbox ${name} (${state})`),
    ...networks.map((name) => `network ${name}`),
    ...processes.map(({ pid, argv }) => `process ${pid}: ${argv.join(' ').slice(0, 120)}`),
  ]
}
