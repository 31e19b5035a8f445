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
    /is gone: (its main process has ended|somebody has ended or removed it|it no longer exists)|Nothing listens inside|is dead \(/
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

test('an attachment is kept while anybody uses it', async () => {
  const { provider } = await jobOfOneTask()
  const { name } = await provider.createOrAdopt(makeRequest())
  onTestFinished(() => provider.destroy(name))
  const attachments = new SandboxAttachments(10)
  const lease = { provider: 'fake', place: await provider.place(), sandbox: name, incarnation: 1, spec: 'x' }
  const run = (script: string, call: number) => {
    const id = { scope: 'busy', phase: 0, batch: 0, call, part: 0 }
    return attachments.use({ provider, lease }, (runner) => runner.exec({ id, script, timeoutMs: 60_000 }))
  }
  const slow = run('until [ -e /tmp/go-on ]; do sleep 0.02; done', 0)
  await run('true', 1)
  await run('sleep 0.2; touch /tmp/go-on', 2)
  expect((await slow).outcome).toEqual({ type: 'exited', code: 0 })
  attachments.close()
})

test('a worker at another place than the lease says so, and attaches to nothing', async () => {
  const { provider } = await jobOfOneTask()
  const lease = { provider: 'fake', place: 'elsewhere', sandbox: 'rc-elsewhere', incarnation: 1, spec: 'x' }
  const using = new SandboxAttachments(60_000).use({ provider, lease }, () => Promise.reject(new Error('It was used')))
  await expect(using).rejects.toMatchObject({ code: 'host-lost' })
})
