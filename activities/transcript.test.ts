import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { expect, onTestFinished, test } from 'vitest'
import { createFileStore } from '../store/file-store.ts'
import { answerKey, turnResultKey } from '../store/keys.ts'
import type { Store } from '../store/store.ts'
import { putJsonOnce } from '../store/stored-json.ts'
import { readTranscript } from './transcript.ts'

const at = { job: 'j', rollout: 'a.nop.1', incarnation: 1, phase: 1 }

async function storeWithTurns(turns: readonly number[]): Promise<Store> {
  const folder = await mkdtemp(join(tmpdir(), 'rollcall-transcript-'))
  onTestFinished(() => rm(folder, { recursive: true }))
  const store = createFileStore(folder)
  for (const turn of turns) {
    await putJsonOnce(store, answerKey({ ...at, turn }), { decision: { calls: [] }, startedAt: '' })
    await putJsonOnce(store, turnResultKey({ ...at, turn }), { results: [], execs: [] })
  }
  return store
}

const numbers = async (store: Store) => (await readTranscript(store, at)).map((turn) => turn.number)

test('a transcript is read in order, however long it is', async () => {
  const turns = Array.from({ length: 33 }, (_, turn) => turn)
  expect(await numbers(await storeWithTurns(turns))).toEqual(turns)
})

test('a transcript ends before the first turn that has no results', async () => {
  const store = await storeWithTurns([0, 1, 3])
  await putJsonOnce(store, answerKey({ ...at, turn: 2 }), { decision: { calls: [] }, startedAt: '' })
  expect(await numbers(store)).toEqual([0, 1])
})
