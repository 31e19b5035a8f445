import { rm } from 'node:fs/promises'
import { dirname } from 'node:path'
import { setImmediate } from 'node:timers/promises'
import { expect, onTestFinished, test } from 'vitest'
import { createOracleAgent } from '../agents/oracle.ts'
import { RollcallError } from '../protocol/failure.ts'
import type { ExecResult } from '../protocol/exec.ts'
import { jobOptions } from '../protocol/job-options-fixture.ts'
import type { Runner } from '../runner/runner.ts'
import { createFileStore } from '../store/file-store.ts'
import { temporaryFolder } from '../testing/temporary-folder.ts'
import { loadHarborTask } from '../tasks/harbor-task.ts'
import { writeTask } from '../tasks/task-fixture.ts'
import { resultKey } from '../store/keys.ts'
import { jobOfOneTask } from './activities-fixture.ts'
import { openRollout, prepareSandbox } from './open-rollout.ts'
import { SandboxAttachments } from './sandboxes.ts'
import { noLiveExecs } from '../runner/test-sandbox.ts'

/** A rollout of a job; `open` is one attempt, and `sandboxes` says how many there are. */
async function rolloutToOpen() {
  const { context, services, provider } = await jobOfOneTask()
  const attachments = new SandboxAttachments(60_000)
  const { signal } = new AbortController()
  const input = { job: 'j', storeUrl: context.store.url, rollout: 'a-task.oracle.1', incarnation: 1, owner: 'ours' }
  const rollout = await context.rollout(input.rollout)
  const open = (more: { place?: string } = {}) =>
    openRollout({ ...input, ...more }, { context, rollout, services, attachments, signal, onProgress: () => {} })
  const destroyAll = async () => {
    attachments.close()
    for (const { name } of await provider.list({})) await provider.destroy(name)
  }
  onTestFinished(destroyAll)
  const sandboxes = async () => (await provider.list({})).length
  return { open, sandboxes, destroyAll, store: context.store, input }
}

test('an attempt to open that wakes up when the rollout has ended makes no sandbox', async () => {
  const { open, sandboxes, store, input } = await rolloutToOpen()
  await store.putOnce(resultKey(input.job, input.rollout), Buffer.from('{}'))
  await expect(open()).rejects.toThrow('no sandbox is made for it any more')
  expect(await sandboxes()).toBe(0)
})

test('an attempt to open that wakes up after another has opened answers the same, and makes no second sandbox', async () => {
  const { open, sandboxes, destroyAll } = await rolloutToOpen()
  const opened = await open()
  expect(await sandboxes()).toBe(1)
  await destroyAll()
  expect(await open()).toEqual(opened)
  expect(await sandboxes()).toBe(0)
})

test('a sandbox that is lost while it is prepared fails this rollout and leaves no rejection that nobody awaits', async () => {
  const directory = await writeTask({ 'solution/solve.sh': '#!/bin/bash\ntrue\n' })
  onTestFinished(() => rm(dirname(directory), { recursive: true }))
  const loaded = await loadHarborTask(directory)
  if (!('task' in loaded)) throw new Error('The task is invalid.')
  const lost = () => Promise.reject(new RollcallError('sandbox-lost', 'The sandbox is gone'))
  const runner: Runner = { ...noLiveExecs, exec: lost, hello: lost, stop: lost, acknowledge: () => {}, close: () => {} }
  const unawaited: unknown[] = []
  const note = (reason: unknown) => unawaited.push(reason)
  process.on('unhandledRejection', note)
  onTestFinished(() => void process.off('unhandledRejection', note))

  const preparing = prepareSandbox({
    runner,
    rollout: { task: loaded.task, agent: createOracleAgent(), spec: {} },
    workdir: '/app',
    scope: 'scope',
    signal: new AbortController().signal,
    layers: false,
    store: createFileStore(await temporaryFolder('prepare')),
    options: jobOptions(),
    place: { job: 'j', rollout: 'a-task.oracle.1', incarnation: 1 },
  })

  await expect(preparing).rejects.toMatchObject({ code: 'sandbox-lost' })
  // The upload reads its files before it fails.
  for (let turn = 0; turn < 200; turn += 1) await setImmediate()
  expect(unawaited).toEqual([])
})

test('a worker at another place than the rollout was placed on makes no sandbox', async () => {
  const { open, sandboxes } = await rolloutToOpen()
  await expect(open({ place: 'elsewhere' })).rejects.toMatchObject({ code: 'host-lost' })
  expect(await sandboxes()).toBe(0)
})

test.each([
  [true, []],
  [false, ['apt-get install me']],
])(
  'where the provider keeps installations in images is %j, what is installed in the sandbox is %j',
  async (layers, installed) => {
    const { context } = await jobOfOneTask()
    const { store, options } = context
    const { task, spec } = await context.rollout('a-task.oracle.1')
    const ran: string[] = []
    const nothing = { head: Buffer.alloc(0), tail: Buffer.alloc(0), bytes: 0, truncated: false }
    const done: ExecResult = { outcome: { type: 'exited', code: 0 }, stdout: nothing, stderr: nothing, durationMs: 0 }
    const runner: Runner = {
      exec: async ({ script }) => (ran.push(script), done),
      hello: async () => ({ bash: true, tar: true, workdir: '/', uid: 0 }),
      stop: async () => {},
      ...noLiveExecs,
      acknowledge: () => {},
      close: () => {},
    }
    const agent = { name: 'installed', layerScript: 'apt-get install me', next: async () => ({ done: true }) as const }
    const { signal } = new AbortController()
    const place = { job: 'j', rollout: 'a-task.oracle.1', incarnation: 1 }
    const at = { runner, workdir: '/app', scope: 'scope', signal, layers, store, options, place }
    await prepareSandbox({ ...at, rollout: { task, agent, spec } })
    expect(ran.filter((script) => script === agent.layerScript)).toEqual(installed)
  },
)
