import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { expect, onTestFinished, test } from 'vitest'
import { createFileStore } from '../store/file-store.ts'
import { RunningRollouts } from './running-rollouts.ts'

test('the server is asked at first and then every five seconds, however often somebody looks', async () => {
  const folder = await mkdtemp(join(tmpdir(), 'rollcall-running-'))
  onTestFinished(() => rm(folder, { recursive: true }))
  let [nowMs, asked] = [0, 0]
  const ask = async () => ({ attempt: (asked += 1), message: 'no image' })
  const rollouts = new RunningRollouts({ store: createFileStore(folder), job: 'j', ask, now: () => nowMs })
  const look = async (atMs: number) => {
    nowMs = atMs
    return (await rollouts.look(['a.oracle.1']))[0]
  }
  const seen = { rollout: 'a.oracle.1', phase: 'open', turn: 0 }
  expect(await look(0)).toEqual({ ...seen, sinceMs: 0, retried: { attempt: 1, message: 'no image' } })
  expect(await look(4_999)).toEqual({ ...seen, sinceMs: 4_999, retried: { attempt: 1, message: 'no image' } })
  expect(await look(5_000)).toEqual({ ...seen, sinceMs: 5_000, retried: { attempt: 2, message: 'no image' } })
})
