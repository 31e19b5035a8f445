import type { Usage } from '../agents/agent.ts'
import type { RecordInput, RolloutOutcome } from '../protocol/activities.ts'
import type { RolloutResult } from '../protocol/grade.ts'
import { RollcallError } from '../protocol/failure.ts'
import { parseRolloutName, rolloutId } from '../protocol/names.ts'
import { mainReward } from '../results/summary.ts'
import { traceLines, traceText } from '../results/trace.ts'
import type { GradeRecord, TurnRecord } from '../results/trace.ts'
import { downloadTree } from '../runner/files.ts'
import type { Runner } from '../runner/runner.ts'
import { artifactsKey, resultKey, rolloutPrefix, traceKey } from '../store/keys.ts'
import type { Store } from '../store/store.ts'
import { ExecLog } from './exec-log.ts'
import type { JobContext } from './job-context.ts'
import type { ExecRecord, StoredAnswer, StoredGrade, StoredOpening, StoredTurnResult } from '../store/records.ts'
import { execScope } from './sandbox-name.ts'
import { getJson, putJsonOnce } from '../store/stored-json.ts'
import { untilAborted } from './until-aborted.ts'

/** What is beyond it is cut off: a sparse file would fill the disks of the sandbox and of the store. */
const maxArtifactsBytes = 1024 ** 3

/** How long to wait for a first answer, and then for the tar: a sandbox whose root keeps the runner from answering is let go. */
const defaultPatienceMs = { answer: 120_000, transfer: 12 * 60_000 }

export interface RecordDependencies {
  readonly context: Pick<JobContext, 'store' | 'options'>
  readonly signal: AbortSignal
  /** Runs work in the rollout's sandbox, if it is still there. */
  readonly inSandbox: (
    lease: NonNullable<RecordInput['lease']>,
    work: (runner: Runner) => Promise<void>,
  ) => Promise<void>
  /** Default 2 and 12 min. */
  readonly patienceMs?: { readonly answer: number; readonly transfer: number }
}

/**
 * Stores what a rollout came to: artifacts, the trace out of its turns' objects, and last its result. Safe to run
 * twice: every object is `putOnce`.
 */
export async function recordRollout(input: RecordInput, dependencies: RecordDependencies): Promise<RolloutOutcome> {
  const { context } = dependencies
  await storeArtifacts(input, dependencies)
  const records = await readRecords(context.store, input)
  const trace = [...traceText(traceLines(records))].join('')
  await context.store.putOnce(traceKey(input.job, input.rollout), Buffer.from(trace))
  const result = await putJsonOnce(
    context.store,
    resultKey(input.job, input.rollout),
    resultOf(input, context, records),
  )
  const reward = result.rewards === undefined ? undefined : mainReward(result.rewards)
  return {
    state: result.state,
    ...(reward === undefined ? {} : { reward }),
    ...(result.failure === undefined ? {} : { code: result.failure.code }),
  }
}

/** `/logs/artifacts` as a tar; a sandbox that is gone or silent by now, or a folder that is empty, leaves none. */
async function storeArtifacts(input: RecordInput, dependencies: RecordDependencies): Promise<void> {
  if (input.lease === undefined || input.state === 'cancelled') return
  const { inSandbox, patienceMs = defaultPatienceMs } = dependencies
  const patience = new AbortController()
  const giveUp = () => patience.abort(new RollcallError('sandbox-lost', 'The sandbox does not answer'))
  let timer = setTimeout(giveUp, patienceMs.answer)
  const onAnswer = (): void => {
    clearTimeout(timer)
    timer = setTimeout(giveUp, patienceMs.transfer)
  }
  const signal = AbortSignal.any([dependencies.signal, patience.signal])
  const fetching = inSandbox(input.lease, (runner) =>
    fetchArtifacts(input, { runner, signal, store: dependencies.context.store, onAnswer }),
  )
  try {
    await untilAborted(signal, fetching)
  } catch (error) {
    // A grade that is already certain must not be lost because its sandbox died afterwards, or never answers.
    if (!(error instanceof RollcallError) || !['sandbox-lost', 'host-lost'].includes(error.code)) throw error
  } finally {
    clearTimeout(timer)
  }
}

async function fetchArtifacts(
  input: RecordInput,
  at: { runner: Runner; signal: AbortSignal; store: Store; onAnswer: () => void },
): Promise<void> {
  const { runner, signal } = at
  const id = { scope: execScope(rolloutId(input.job, input.rollout)), phase: input.phase, batch: 0, call: 0, part: 0 }
  const script = '[ -n "$(ls -A /logs/artifacts 2>/dev/null)" ]'
  const { outcome } = await runner.exec({ id, script, user: 'root', cwd: '/', timeoutMs: 60_000 }, { signal })
  if (outcome.type !== 'exited' || outcome.code !== 0) return
  at.onAnswer()
  const log = new ExecLog(input, at.store)
  const sink = log.spoolTo(artifactsKey(input.job, input.rollout))
  const download = { id: { ...id, call: 1 }, directory: '/logs/artifacts', sink, maxBytes: maxArtifactsBytes }
  try {
    await downloadTree(runner, download, { signal })
  } finally {
    await log.flush()
  }
}

interface Records {
  readonly turns: TurnRecord[]
  readonly execs: ExecRecord[]
  readonly grades: GradeRecord[]
  readonly openings: StoredOpening[]
}

/** Everything the rollout's activities have stored, by the shape of the keys (store/keys.ts). */
async function readRecords(store: Store, input: RecordInput): Promise<Records> {
  const prefix = rolloutPrefix(input.job, input.rollout)
  const records: Records = { turns: [], execs: [], grades: [], openings: [] }
  for (const key of await store.list(prefix)) {
    const place = /^i(\d+)\/(?:(opened)\.json|p(\d+)\/(?:(grade)\.json|turns\/(\d+)\.answer\.json))$/.exec(
      key.slice(prefix.length),
    )
    if (place === null) continue
    const [, incarnation, opened, phase, grade, turn] = place
    const moment = { incarnation: Number(incarnation), phase: Number(phase) }
    if (opened) await addOpening(store, key, records)
    else if (grade) await addGrade(store, key, { ...moment, records })
    else await addTurn(store, key, { ...moment, turn: Number(turn), records })
  }
  return records
}

async function addOpening(store: Store, key: string, records: Records): Promise<void> {
  const opening = await getJson<StoredOpening>(store, key)
  if (opening === undefined) return
  records.openings.push(opening)
  records.execs.push(...opening.execs)
}

async function addGrade(
  store: Store,
  key: string,
  { records, ...moment }: { incarnation: number; phase: number; records: Records },
): Promise<void> {
  const grade = await getJson<StoredGrade>(store, key)
  if (grade === undefined) return
  const { execs, processes: _, ...rest } = grade
  records.grades.push({ ...moment, ...rest })
  records.execs.push(...execs)
}

async function addTurn(
  store: Store,
  answerKey: string,
  { records, ...at }: { incarnation: number; phase: number; turn: number; records: Records },
): Promise<void> {
  const answer = await getJson<StoredAnswer>(store, answerKey)
  const result = await getJson<StoredTurnResult>(store, answerKey.replace(/\.answer\.json$/, '.result.json'))
  if (answer === undefined) return
  const results = result === undefined ? {} : { results: result.results }
  records.turns.push({ ...at, decision: answer.decision, startedAt: answer.startedAt, ...results })
  records.execs.push(...(result?.execs ?? []))
}

function resultOf(input: RecordInput, context: RecordDependencies['context'], records: Records): RolloutResult {
  const { task, agent, attempt } = parseRolloutName(input.rollout)
  const latest = records.openings.at(-1)
  return {
    version: 1,
    id: rolloutId(input.job, input.rollout),
    job: input.job,
    name: input.rollout,
    task,
    taskChecksum: context.options.tasks.find(({ name }) => name === task)?.checksum ?? '',
    agent,
    attempt,
    state: input.state,
    ...input.grade,
    ...(input.failure === undefined ? {} : { failure: input.failure }),
    ...(input.agentEnd === undefined ? {} : { agentEnd: input.agentEnd }),
    turns: records.turns.filter((turn) => 'calls' in turn.decision).length,
    usage: totalUsage(records.turns.map((turn) => turn.decision.usage ?? {})),
    incarnations: input.incarnation,
    gradingAttempts: input.gradingAttempts,
    ...(latest === undefined ? {} : { sandbox: sandboxOf(latest) }),
    ...(latest?.runtime === undefined ? {} : { runtime: latest.runtime }),
    startedAt: input.startedAt,
    finishedAt: new Date().toISOString(),
    phases: input.phases,
  }
}

function sandboxOf({ opened, image }: StoredOpening) {
  const { provider, sandbox: name, place } = opened.lease
  return { provider, name, place, image }
}

/** Sums what was reported; what no turn reported stays absent. */
function totalUsage(usages: readonly Usage[]): Usage {
  const total: Record<string, number> = {}
  for (const usage of usages) {
    for (const [name, value] of Object.entries(usage)) {
      if (typeof value === 'number') total[name] = (total[name] ?? 0) + value
    }
  }
  return total
}
