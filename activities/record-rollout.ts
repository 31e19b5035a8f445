import type { Usage } from '../agents/agent.ts'
import type { RecordInput, RolloutOutcome } from '../protocol/activities.ts'
import type { ArtifactRecord, RolloutResult } from '../protocol/grade.ts'
import { RollcallError } from '../protocol/failure.ts'
import { parseRolloutName, rolloutId } from '../protocol/names.ts'
import { mainReward } from '../results/summary.ts'
import { traceLines, traceText } from '../results/trace.ts'
import type { GradeRecord, TurnRecord } from '../results/trace.ts'
import type { Runner } from '../runner/runner.ts'
import { resultKey, rolloutPrefix, traceKey } from '../store/keys.ts'
import type { ExecRecord, StoredAnswer, StoredCollection, StoredGrade } from '../store/records.ts'
import type { StoredOpening, StoredPreparation, StoredTurnResult } from '../store/records.ts'
import type { Store } from '../store/store.ts'
import { getJson, putJsonOnce } from '../store/stored-json.ts'
import { storeArtifacts } from './collect-artifacts.ts'
import type { Task } from '../tasks/task.ts'
import type { JobContext } from './job-context.ts'
import { untilAborted } from './until-aborted.ts'

/** How long to wait for a first answer, and then for the tar: a sandbox whose root keeps the runner from answering is let go. */
const defaultPatienceMs = { answer: 120_000, transfer: 12 * 60_000 }

export interface RecordDependencies {
  readonly context: Pick<JobContext, 'store' | 'options'>
  /** Asked only where something is left to be collected. */
  readonly task: () => Promise<Task>
  readonly signal: AbortSignal
  /** Runs work in the rollout's sandbox, if it is still there. */
  readonly inSandbox: (
    lease: NonNullable<RecordInput['lease']>,
    work: (runner: Runner) => Promise<unknown>,
  ) => Promise<unknown>
  /** Default 2 and 12 min. */
  readonly patienceMs?: { readonly answer: number; readonly transfer: number }
}

/**
 * Stores what a rollout came to: artifacts, the trace out of its turns' objects, and last its result. Safe to run
 * twice: every object is `putOnce`.
 */
export async function recordRollout(input: RecordInput, dependencies: RecordDependencies): Promise<RolloutOutcome> {
  const { context } = dependencies
  await collectTheRest(input, dependencies)
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

/** Collects what was not collected yet; a sandbox that is gone or silent by now leaves nothing. */
async function collectTheRest(input: RecordInput, dependencies: RecordDependencies): Promise<void> {
  const { lease } = input
  if (lease === undefined || input.state === 'cancelled' || input.isCollected) return
  const { inSandbox, patienceMs = defaultPatienceMs, context } = dependencies
  const rollout = { task: await dependencies.task() }
  const patience = new AbortController()
  const giveUp = () => patience.abort(new RollcallError('sandbox-lost', 'The sandbox does not answer'))
  let timer = setTimeout(giveUp, patienceMs.answer)
  const onAnswer = (): void => {
    clearTimeout(timer)
    timer = setTimeout(giveUp, patienceMs.transfer)
  }
  const signal = AbortSignal.any([dependencies.signal, patience.signal])
  const last = input.steps === undefined ? {} : { step: input.steps.length - 1 }
  const part = { ...input, lease, ...last }
  const fetching = inSandbox(lease, (runner) => storeArtifacts(part, { runner, signal, context, rollout, onAnswer }))
  try {
    await untilAborted(signal, fetching)
  } catch (error) {
    // A grade that is already certain must not be lost because its sandbox died afterwards, or never answers.
    if (!(error instanceof RollcallError) || !['sandbox-lost', 'host-lost'].includes(error.code)) throw error
  } finally {
    clearTimeout(timer)
  }
}

interface Records {
  readonly turns: TurnRecord[]
  readonly execs: ExecRecord[]
  readonly grades: GradeRecord[]
  readonly openings: StoredOpening[]
  /** Images of separate verifiers' sandboxes. */
  readonly verifiers: string[]
  readonly collections: {
    readonly incarnation: number
    readonly phase: number
    readonly artifacts: StoredCollection['artifacts']
  }[]
}

const recordPattern =
  /^i(\d+)\/(?:(opened)\.json|p(\d+)\/(?:(grade|prepared|collected|opened)\.json|turns\/(\d+)\.answer\.json))$/

/** Everything the rollout's activities have stored, by the shape of the keys (store/keys.ts). */
async function readRecords(store: Store, input: RecordInput): Promise<Records> {
  const prefix = rolloutPrefix(input.job, input.rollout)
  const records: Records = { turns: [], execs: [], grades: [], openings: [], collections: [], verifiers: [] }
  for (const key of await store.list(prefix)) {
    const place = recordPattern.exec(key.slice(prefix.length))
    if (place === null) continue
    const [, incarnation, opened, phase, object, turn] = place
    const moment = { incarnation: Number(incarnation), phase: Number(phase) }
    if (opened) await addOpening(store, key, records)
    else if (object === 'grade') await addGrade(store, key, { ...moment, records })
    else if (object === 'prepared') records.execs.push(...((await getJson<StoredPreparation>(store, key))?.execs ?? []))
    else if (object === 'opened') records.verifiers.push(...(await verifierImage(store, key)))
    else if (object === 'collected') await addCollection(store, key, { ...moment, records })
    else await addTurn(store, key, { ...moment, turn: Number(turn), records })
  }
  return records
}

async function verifierImage(store: Store, key: string): Promise<string[]> {
  const opening = await getJson<StoredOpening>(store, key)
  return opening === undefined ? [] : [opening.image]
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
  const { execs, processes: _, changedPaths: _paths, system: _system, ...rest } = grade
  records.grades.push({ ...moment, ...rest })
  records.execs.push(...execs)
}

async function addCollection(
  store: Store,
  key: string,
  { records, ...moment }: { incarnation: number; phase: number; records: Records },
): Promise<void> {
  const collection = await getJson<StoredCollection>(store, key)
  if (collection === undefined) return
  records.collections.push({ ...moment, artifacts: collection.artifacts })
  records.execs.push(...collection.execs)
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
    ...artifactsOf(input, records),
    turns: records.turns.filter((turn) => 'calls' in turn.decision).length,
    usage: totalUsage(records.turns.map((turn) => turn.decision.usage ?? {})),
    incarnations: input.incarnation,
    gradingAttempts: input.gradingAttempts,
    ...(latest === undefined ? {} : { sandbox: sandboxOf(latest) }),
    ...(latest?.runtime === undefined ? {} : { runtime: latest.runtime }),
    ...(records.verifiers.length === 0 ? {} : { verifierImages: [...new Set(records.verifiers)] }),
    startedAt: input.startedAt,
    finishedAt: new Date().toISOString(),
    phases: input.phases,
  }
}

/** Where artifacts were collected says whose they are: the step's in whose phases it was, else the task's. */
function artifactsOf(input: RecordInput, records: Records): Pick<RolloutResult, 'steps' | 'artifacts'> {
  const collected = records.collections.filter(({ incarnation }) => incarnation === input.incarnation)
  const within = (first: number, last: number) =>
    collected.filter(({ phase }) => phase >= first && phase <= last).flatMap(({ artifacts }) => artifacts)
  const artifacts = (found: readonly ArtifactRecord[]) => (found.length === 0 ? {} : { artifacts: found })
  if (input.steps === undefined) return artifacts(within(0, input.phase))
  const steps = input.steps.map((step, index) => {
    const isLast = index === (input.steps?.length ?? 0) - 1
    return { ...step, ...artifacts(within(step.firstPhase, isLast ? input.phase : step.lastPhase)) }
  })
  return { steps }
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
