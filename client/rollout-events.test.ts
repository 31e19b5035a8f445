import { expect, test } from 'vitest'
import { createFileStore } from '../store/file-store.ts'
import { answerKey, collectedKey, gradeKey, openedKey, preparedKey, resultKey, turnResultKey } from '../store/keys.ts'
import type { Store } from '../store/store.ts'
import type { JobLook } from './job-events.ts'
import { jobEvents } from './job-events.ts'
import { RolloutEvents, rolloutProgress } from './rollout-events.ts'
import { temporaryFolder } from '../testing/temporary-folder.ts'

const at = { job: 'j', rollout: 'a.oracle.1', incarnation: 1, phase: 1 }

async function emptyStore(): Promise<Store> {
  return createFileStore(await temporaryFolder('events'))
}

const put = (store: Store, key: string, value: unknown) => store.putOnce(key, Buffer.from(JSON.stringify(value)))

const call = { tool: 'bash', args: { command: 'true' } }
const result = { tool: 'bash', ok: true, output: '', outcome: 'exited', exitCode: 0 }

async function putTurn(store: Store, turn: number): Promise<void> {
  await put(store, answerKey({ ...at, turn }), { decision: { calls: [call] }, startedAt: '' })
  await put(store, turnResultKey({ ...at, turn }), { results: [result], execs: [] })
}

test('a rollout’s events appear as its objects do, each once', async () => {
  const store = await emptyStore()
  const events = new RolloutEvents({ store, ...at })
  expect((await events.read()).map(({ type }) => type)).toEqual(['rollout'])
  await put(store, openedKey(at), {})
  await putTurn(store, 0)
  expect((await events.read()).map(({ type }) => type)).toEqual(['turn', 'call'])
  await put(store, answerKey({ ...at, turn: 1 }), { decision: { done: true }, startedAt: '' })
  expect((await events.read()).map(({ type }) => type)).toEqual(['turn'])
  await put(store, resultKey(at.job, at.rollout), { state: 'graded', rewards: { reward: 1 } })
  expect((await events.read()).map(({ type }) => type)).toEqual(['grade', 'rollout'])
  expect(await events.read()).toEqual([])
})

test('how far a running rollout has come is what its latest incarnation has stored', async () => {
  const store = await emptyStore()
  expect(await rolloutProgress({ store, ...at })).toEqual({ phase: 'open', incarnation: 1, turn: 0 })
  await put(store, openedKey(at), {})
  await putTurn(store, 0)
  expect(await rolloutProgress({ store, ...at })).toEqual({ phase: 'turns', incarnation: 1, turn: 1 })
  await put(store, gradeKey({ ...at, phase: 2 }), {})
  expect(await rolloutProgress({ store, ...at })).toEqual({ phase: 'record', incarnation: 1, turn: 1 })
  await put(store, openedKey({ ...at, incarnation: 2 }), {})
  expect(await rolloutProgress({ store, ...at })).toEqual({ phase: 'turns', incarnation: 2, turn: 0 })
  await put(store, resultKey(at.job, at.rollout), {})
  expect((await rolloutProgress({ store, ...at })).phase).toBe('release')
})

test('events go on right after a cursor, in another process', async () => {
  const store = await emptyStore()
  await put(store, 'jobs/j/plan.json', { rollouts: [{ name: at.rollout, task: 'a', agent: 'oracle', attempt: 1 }] })
  await putTurn(store, 0)
  await put(store, resultKey(at.job, at.rollout), { state: 'graded', rewards: { reward: 1 } })
  const over: JobLook = { state: 'completed', total: 1, running: [], ended: [] }
  const source = { job: 'j', store, look: async () => over, wait: async () => {} }
  const all = await Array.fromAsync(jobEvents(source, undefined))
  expect(all.map(({ type }) => type)).toEqual(['job', 'rollout', 'turn', 'call', 'grade', 'rollout', 'job'])
  for (const [index, event] of all.entries()) {
    const rest = await Array.fromAsync(jobEvents(source, event.cursor))
    expect(rest).toEqual(all.slice(index + 1))
  }
})

test('the steps of a task are told in their order, also beyond the tenth phase', async () => {
  const store = await emptyStore()
  for (const phase of [2, 6, 10, 14]) {
    const decision = { message: `phase ${phase}`, calls: [call] }
    await put(store, answerKey({ ...at, phase, turn: 0 }), { decision, startedAt: '' })
    await put(store, turnResultKey({ ...at, phase, turn: 0 }), { results: [result], execs: [] })
  }
  await put(store, resultKey(at.job, at.rollout), { state: 'graded', rewards: { reward: 1 } })
  const events = await new RolloutEvents({ store, ...at }).read()
  const told = events.flatMap((event) => (event.type === 'turn' ? [event.message] : []))
  expect(told).toEqual(['phase 2', 'phase 6', 'phase 10', 'phase 14'])
  expect(events.at(-1)).toMatchObject({ type: 'rollout', state: 'graded' })
})

test('of a task of several steps only the latest phase says where the rollout is', async () => {
  const store = await emptyStore()
  const phase = async () => (await rolloutProgress({ store, ...at })).phase
  await put(store, openedKey(at), {})
  await put(store, preparedKey({ ...at, phase: 1 }), {})
  expect(await phase()).toBe('turns')
  await put(store, collectedKey({ ...at, phase: 3 }), {})
  expect(await phase()).toBe('grade')
  await put(store, gradeKey({ ...at, phase: 4 }), {})
  expect(await phase()).toBe('turns')
  await put(store, preparedKey({ ...at, phase: 5 }), {})
  expect(await phase()).toBe('turns')
})
