import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { expect, onTestFinished, test } from 'vitest'
import type { RecordInput } from '../protocol/activities.ts'
import { jobOptions } from '../protocol/job-options-fixture.ts'
import { answerKey, gradeKey, openedKey, outputKey, resultKey, traceKey, turnResultKey } from '../store/keys.ts'
import { createFileStore } from '../store/file-store.ts'
import { RollcallError } from '../protocol/failure.ts'
import { recordRollout } from './record-rollout.ts'
import type { RecordDependencies } from './record-rollout.ts'
import { putJsonOnce } from '../store/stored-json.ts'
import { loadHarborTask } from '../tasks/harbor-task.ts'
import { writeTask } from '../tasks/task-fixture.ts'
import type { Task } from '../tasks/task.ts'
import { noLiveExecs } from '../runner/test-sandbox.ts'

const options = jobOptions()

async function input(): Promise<RecordInput & { dependencies: Pick<RecordDependencies, 'context' | 'task'> }> {
  const folder = await mkdtemp(join(tmpdir(), 'rollcall-record-'))
  onTestFinished(() => rm(folder, { recursive: true }))
  const store = createFileStore(folder)
  return {
    job: 'j',
    storeUrl: store.url,
    rollout: 'a.nop.1',
    incarnation: 1,
    owner: 'o',
    state: 'graded',
    grade: { rewards: { reward: 1 }, integrity: 'clean' },
    lease: { provider: 'local', place: 'here', sandbox: 's', incarnation: 1, spec: 'x' },
    phase: 3,
    gradingAttempts: 1,
    startedAt: new Date(0).toISOString(),
    phases: {},
    dependencies: { context: { store, options }, task: loadTask },
  }
}

async function loadTask(): Promise<Task> {
  const loaded = await loadHarborTask(await writeTask())
  if ('task' in loaded) return loaded.task
  throw new Error('The task is invalid.')
}

/** The sandbox that the lease is about was opened. */
async function putOpening(at: RecordInput, { context }: Pick<RecordDependencies, 'context'>): Promise<void> {
  await putJsonOnce(context.store, openedKey(at), { opened: { lease: at.lease }, image: '', workdir: '/', execs: [] })
}

/** A sandbox whose root keeps the runner from answering, until who asked lets go. */
const silent = (signal: AbortSignal) =>
  new Promise<never>((_, reject) => {
    signal.addEventListener('abort', () => reject(signal.reason))
  })

test('a grade is recorded though the sandbox never answers for its artifacts', async () => {
  const { dependencies, ...at } = await input()
  await putOpening(at, dependencies)
  const { signal } = new AbortController()
  const inSandbox: RecordDependencies['inSandbox'] = (_lease, work) =>
    work({
      exec: (_request, { signal: given } = {}) => silent(given ?? signal),
      ...noLiveExecs,
      acknowledge: () => undefined,
      stop: () => silent(signal),
      hello: () => silent(signal),
      close: () => undefined,
    })
  const outcome = await recordRollout(at, {
    ...dependencies,
    signal,
    inSandbox,
    patienceMs: { answer: 20, transfer: 20 },
  })
  expect(outcome).toEqual({ state: 'graded', reward: 1 })
  expect(await dependencies.context.store.get(resultKey('j', 'a.nop.1'))).toBeDefined()
})

test('a worker that has to let go records nothing', async () => {
  const { dependencies, ...at } = await input()
  await putOpening(at, dependencies)
  const detached = new AbortController()
  const inSandbox = async (): Promise<void> => {
    detached.abort(new Error('handed over'))
    await silent(AbortSignal.timeout(1))
  }
  const recording = recordRollout(at, { ...dependencies, signal: detached.signal, inSandbox })
  await expect(recording).rejects.toThrow()
  expect(await dependencies.context.store.get(resultKey('j', 'a.nop.1'))).toBeUndefined()
})

test('the trace and the result are made of every incarnation’s openings, turns and grades, and of nothing else', async () => {
  const { dependencies, lease: _, ...at } = await input()
  const { store } = dependencies.context
  const ref = { job: 'j', rollout: at.rollout }
  const exec = (phase: number, batch: number, incarnation: number) => ({
    incarnation,
    id: { scope: 's', phase, batch, call: 0, part: 0 },
    command: `command of ${incarnation}-${phase}-${batch}`,
    outcome: { type: 'exited', code: 0 },
    startedAt: new Date(phase * 1000 + batch).toISOString(),
    durationMs: 1,
    stdout: { bytes: 0, truncated: false },
    stderr: { bytes: 0, truncated: false },
  })
  for (const incarnation of [1, 2]) {
    const opened = { lease: { provider: 'local', place: 'here', sandbox: `s${incarnation}`, incarnation, spec: 'x' } }
    const opening = { opened, image: `image ${incarnation}`, workdir: '/', execs: [exec(0, 0, incarnation)] }
    await putJsonOnce(store, openedKey({ ...ref, incarnation }), opening)
    const turn = { ...ref, incarnation, phase: 1, turn: 0 }
    const usage = { inputTokens: 5 }
    const decision = { calls: [{ tool: 'bash', args: { command: 'true' } }], usage }
    await putJsonOnce(store, answerKey(turn), { decision, startedAt: new Date(1000).toISOString() })
    const results = [{ tool: 'bash', ok: true, output: '', outcome: 'exited', exitCode: 0 }]
    await putJsonOnce(store, turnResultKey(turn), { results, execs: [exec(1, 0, incarnation)] })
    await store.putOnce(outputKey({ ...ref, incarnation, exec: '1-0-0-0', stream: 'stdout' }), Buffer.from('no JSON'))
  }
  // The answer of a turn whose sandbox was lost: asked for and paid, without results.
  const unfinished = { decision: { calls: [], usage: { inputTokens: 7 } }, startedAt: new Date(1001).toISOString() }
  await putJsonOnce(store, answerKey({ ...ref, incarnation: 1, phase: 1, turn: 1 }), unfinished)
  const last = { decision: { done: true }, startedAt: new Date(1002).toISOString() }
  await putJsonOnce(store, answerKey({ ...ref, incarnation: 2, phase: 1, turn: 1 }), last)
  const grade = { rewards: { reward: 1 }, integrity: 'clean', execs: [exec(2, 0, 2)], processes: ['sleep'] }
  await putJsonOnce(store, gradeKey({ ...ref, incarnation: 2, phase: 2 }), grade)
  const inSandbox = () => Promise.reject(new Error('there is no lease'))
  await recordRollout({ ...at, incarnation: 2 }, { ...dependencies, signal: new AbortController().signal, inSandbox })
  const result = JSON.parse(String(await store.get(resultKey('j', at.rollout))))
  expect(result).toMatchObject({
    turns: 3,
    usage: { inputTokens: 17 },
    incarnations: 2,
    sandbox: { name: 's2', image: 'image 2' },
  })
  const trace = String(await store.get(traceKey('j', at.rollout)))
    .trimEnd()
    .split('\n')
  const lines = trace.map((line) => JSON.parse(line))
  const commands = lines.filter(({ type }) => type === 'exec').map(({ command }) => command)
  expect(commands).toEqual(['1-0-0', '1-1-0', '2-0-0', '2-1-0', '2-2-0'].map((place) => `command of ${place}`))
  expect(lines.filter(({ type }) => type === 'grade')).toMatchObject([
    { incarnation: 2, phase: 2, rewards: { reward: 1 } },
  ])
  expect(trace.join('')).not.toContain('sleep')
})

test.each(['sandbox-lost', 'host-lost'] as const)(
  'a grade is recorded though its artifacts are out of reach: %s',
  async (code) => {
    const { dependencies, ...at } = await input()
    const inSandbox = () => Promise.reject(new RollcallError(code, 'It is gone'))
    const outcome = await recordRollout(at, { ...dependencies, signal: new AbortController().signal, inSandbox })
    expect(outcome).toEqual({ state: 'graded', reward: 1 })
  },
)

test('a cancelled rollout is recorded without a look into its sandbox', async () => {
  const { dependencies, grade: _, ...at } = await input()
  const inSandbox = () => Promise.reject(new Error('Somebody looked'))
  const failure = { code: 'cancelled', message: 'The job was cancelled.' } as const
  const recorded = { ...at, state: 'cancelled', failure } as const
  const outcome = await recordRollout(recorded, { ...dependencies, signal: new AbortController().signal, inSandbox })
  expect(outcome).toEqual({ state: 'cancelled', code: 'cancelled' })
})
