import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { expect, onTestFinished, test } from 'vitest'
import type { RecordInput } from '../protocol/activities.ts'
import { jobOptions } from '../protocol/job-options-fixture.ts'
import { resultKey } from '../store/keys.ts'
import { createFileStore } from '../store/file-store.ts'
import { recordRollout } from './record-rollout.ts'
import type { RecordDependencies } from './record-rollout.ts'

const options = jobOptions()

async function input(): Promise<RecordInput & { dependencies: Pick<RecordDependencies, 'context'> }> {
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
    dependencies: { context: { store, options } },
  }
}

/** A sandbox whose root keeps the runner from answering, until who asked lets go. */
const silent = (signal: AbortSignal) =>
  new Promise<never>((_, reject) => {
    signal.addEventListener('abort', () => reject(signal.reason))
  })

test('a grade is recorded though the sandbox never answers for its artifacts', async () => {
  const { dependencies, ...at } = await input()
  const { signal } = new AbortController()
  const inSandbox: RecordDependencies['inSandbox'] = (_lease, work) =>
    work({
      exec: (_request, { signal: given } = {}) => silent(given ?? signal),
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
  const detached = new AbortController()
  const inSandbox = async (): Promise<void> => {
    detached.abort(new Error('handed over'))
    await silent(AbortSignal.timeout(1))
  }
  const recording = recordRollout(at, { ...dependencies, signal: detached.signal, inSandbox })
  await expect(recording).rejects.toThrow()
  expect(await dependencies.context.store.get(resultKey('j', 'a.nop.1'))).toBeUndefined()
})
