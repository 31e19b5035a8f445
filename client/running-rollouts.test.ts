import { expect, test } from 'vitest'
import { createFileStore } from '../store/file-store.ts'
import { openedKey } from '../store/keys.ts'
import { temporaryFolder } from '../testing/temporary-folder.ts'
import type { RunningStep } from './hindrance.ts'
import { RunningRollouts } from './running-rollouts.ts'

test('the server is asked at first and then every five seconds, however often somebody looks', async () => {
  const store = createFileStore(await temporaryFolder('running'))
  let [nowMs, asked] = [0, 0]
  const ask = async () => ({ phase: 'open' as const, retried: { attempt: (asked += 1), message: 'no image' } })
  const rollouts = new RunningRollouts({ store, job: 'j', ask, now: () => nowMs })
  const look = async (atMs: number) => {
    nowMs = atMs
    return (await rollouts.look(['a.oracle.1']))[0]
  }
  const seen = { rollout: 'a.oracle.1', phase: 'open', turn: 0 }
  expect(await look(0)).toEqual({ ...seen, sinceMs: 0, retried: { attempt: 1, message: 'no image' } })
  expect(await look(4_999)).toEqual({ ...seen, sinceMs: 4_999, retried: { attempt: 1, message: 'no image' } })
  expect(await look(5_000)).toEqual({ ...seen, sinceMs: 5_000, retried: { attempt: 2, message: 'no image' } })
})

test('a rollout is in the step that the server names; what it stores meanwhile has the server asked again', async () => {
  const store = createFileStore(await temporaryFolder('running'))
  const at = { job: 'j', rollout: 'a.oracle.1', incarnation: 1 }
  const put = (key: string) => store.putOnce(key, Buffer.from('{}'))
  let nowMs = 0
  let step: RunningStep | undefined
  const rollouts = new RunningRollouts({ store, job: 'j', ask: async () => step, now: () => nowMs })
  const phase = async (atMs: number) => {
    nowMs = atMs
    return (await rollouts.look([at.rollout]))[0]
  }
  await put(openedKey(at))
  expect(await phase(0)).toMatchObject({ phase: 'turns', sinceMs: 0 })
  step = { phase: 'grade' }
  expect(await phase(1_000)).toMatchObject({ phase: 'turns', sinceMs: 1_000 })
  expect(await phase(5_000)).toMatchObject({ phase: 'grade', sinceMs: 0 })
  step = { phase: 'turns' }
  await put(openedKey({ ...at, incarnation: 2 }))
  expect(await phase(6_000)).toMatchObject({ phase: 'turns', turn: 0, sinceMs: 0 })
})
