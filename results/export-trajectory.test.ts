import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { buffer } from 'node:stream/consumers'
import { pack } from 'tar-stream'
import { expect, onTestFinished, test } from 'vitest'
import { jobOptions } from '../protocol/job-options-fixture.ts'
import type { RolloutResult } from '../protocol/grade.ts'
import { createFileStore } from '../store/file-store.ts'
import { taskKey, traceKey } from '../store/keys.ts'
import { atifSchema } from './atif-schema.ts'
import { TrajectoryReader } from './export-trajectory.ts'
import { rolloutResult } from './fixtures/rollout-result.ts'

async function newReader() {
  const directory = await mkdtemp(join(tmpdir(), 'rollcall-trajectory-'))
  onTestFinished(() => rm(directory, { recursive: true }))
  const store = createFileStore(directory)
  const reader = new TrajectoryReader(store, jobOptions())
  const messages = async (result: RolloutResult) =>
    atifSchema.parse(await reader.read(result)).steps.map(({ message }) => message)
  return { store, messages }
}

const turn = (phase: number) =>
  `{"type":"turn","incarnation":1,"phase":${phase},"turn":0,"calls":0,"done":true,"reason":"end"}\n`

test('a trajectory begins with what the agent was told; each step of a task with its own instruction', async () => {
  const { store, messages } = await newReader()
  const tar = pack()
  for (const path of ['steps/one/instruction.md', 'instruction.md', 'steps/two/instruction.md', 'tests/instruction.md'])
    tar.entry({ name: `a/${path}` }, `told by ${path}`)
  tar.finalize()
  const single = rolloutResult({ task: 'a', rewards: { reward: 1 } })
  const steps = [
    { name: 'one', firstPhase: 1, lastPhase: 2, gradingAttempts: 1, phases: {} },
    { name: 'two', firstPhase: 3, lastPhase: 4, gradingAttempts: 1, phases: {} },
  ]
  const several = { ...rolloutResult({ task: 'a', attempt: 2, rewards: { reward: 1 } }), steps }
  await store.putOnce(taskKey(single.taskChecksum), await buffer(tar))
  await store.putOnce(traceKey('j', single.name), Buffer.from(turn(1)))
  await store.putOnce(traceKey('j', several.name), Buffer.from(turn(1) + turn(4)))
  expect(await messages(single)).toEqual(['told by instruction.md', 'end'])
  expect(await messages(several)).toEqual([
    'told by steps/one/instruction.md',
    'end',
    'told by steps/two/instruction.md',
    'end',
  ])
})

test('a task whose copy the store no longer has leaves the turns, and a rollout without a trace how it ended', async () => {
  const { store, messages } = await newReader()
  const traced = rolloutResult({ task: 'a', rewards: { reward: 1 } })
  await store.putOnce(traceKey('j', traced.name), Buffer.from(turn(1)))
  expect(await messages(traced)).toEqual(['end'])
  const lost = rolloutResult({ task: 'b', failure: { code: 'sandbox-lost', message: 'It died.' } })
  expect(await messages(lost)).toEqual([expect.stringContaining('sandbox-lost: It died.')])
})
