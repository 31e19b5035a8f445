import type { Duplex } from 'node:stream'
import { expect, onTestFinished, test } from 'vitest'
import type { Provider } from '../providers/contract/provider.ts'
import { makeRequest } from '../providers/host-sandbox/sandbox-fixture.ts'
import { jobOfOneTask } from './activities-fixture.ts'
import { SandboxAttachments } from './sandboxes.ts'

test('an agent that thinks for longer than an attachment is kept does not lose its sandbox', async () => {
  const { provider } = await jobOfOneTask()
  const { name } = await provider.createOrAdopt(makeRequest())
  onTestFinished(() => provider.destroy(name))
  const connections: Duplex[] = []
  const counting: Provider = {
    ...provider,
    connect: async (sandbox) => {
      const connection = await provider.connect(sandbox)
      connections.push(connection)
      return connection
    },
  }
  const attachments = new SandboxAttachments(10)
  const lease = { provider: 'fake', place: await provider.place(), sandbox: name, incarnation: 1, spec: 'x' }
  const run = (script: string, batch: number) => {
    const id = { scope: 'idle', phase: 0, batch, call: 0, part: 0 }
    return attachments.use({ provider: counting, lease }, (runner) => runner.exec({ id, script, timeoutMs: 60_000 }))
  }
  await run('echo one > /tmp/thought', 0)
  await expect.poll(() => connections.every((connection) => connection.destroyed)).toBe(true)
  const { stdout } = await run('cat /tmp/thought', 1)
  expect(stdout.head.toString()).toBe('one\n')
  expect(connections).toHaveLength(2)
  attachments.close()
})

test('a sandbox that somebody has removed is said to be gone', async () => {
  const { provider } = await jobOfOneTask()
  const { name } = await provider.createOrAdopt(makeRequest())
  const attachments = new SandboxAttachments(60_000)
  const lease = { provider: 'fake', place: await provider.place(), sandbox: name, incarnation: 1, spec: 'x' }
  const run = (script: string, batch: number) => {
    const id = { scope: 'gone', phase: 0, batch, call: 0, part: 0 }
    return attachments.use({ provider, lease }, (runner) => runner.exec({ id, script, timeoutMs: 60_000 }))
  }
  await run('true', 0)
  // Which of them is true depends on how far the removal is when the runner looks.
  const reason =
    /is gone: (its main process has ended|somebody has ended or removed it|it no longer exists)|Nothing listens inside/
  const running = run('sleep 50', 1)
  await Promise.all([
    expect(running).rejects.toMatchObject({
      code: 'sandbox-lost',
      message: expect.stringMatching(reason) as string,
    }),
    provider.destroy(name),
  ])
  attachments.close()
})
