import { rm } from 'node:fs/promises'
import { dirname } from 'node:path'
import { setImmediate } from 'node:timers/promises'
import { expect, onTestFinished, test } from 'vitest'
import { createOracleAgent } from '../agents/oracle.ts'
import { RollcallError } from '../protocol/failure.ts'
import type { Runner } from '../runner/runner.ts'
import { loadHarborTask } from '../tasks/harbor-task.ts'
import { writeTask } from '../tasks/task-fixture.ts'
import { prepareSandbox } from './open-rollout.ts'

test('a sandbox that is lost while it is prepared fails this rollout and leaves no rejection that nobody awaits', async () => {
  const directory = await writeTask({ 'solution/solve.sh': '#!/bin/bash\ntrue\n' })
  onTestFinished(() => rm(dirname(directory), { recursive: true }))
  const loaded = await loadHarborTask(directory)
  if (!('task' in loaded)) throw new Error('The task is invalid.')
  const lost = () => Promise.reject(new RollcallError('sandbox-lost', 'The sandbox is gone'))
  const runner: Runner = { exec: lost, hello: lost, stop: lost, acknowledge: () => {}, close: () => {} }
  const unawaited: unknown[] = []
  const note = (reason: unknown) => unawaited.push(reason)
  process.on('unhandledRejection', note)
  onTestFinished(() => void process.off('unhandledRejection', note))

  const preparing = prepareSandbox({
    runner,
    rollout: { task: loaded.task, agent: createOracleAgent() },
    workdir: '/app',
    scope: 'scope',
    signal: new AbortController().signal,
    layers: false,
  })

  await expect(preparing).rejects.toMatchObject({ code: 'sandbox-lost' })
  // The upload reads its files before it fails.
  for (let turn = 0; turn < 200; turn += 1) await setImmediate()
  expect(unawaited).toEqual([])
})
