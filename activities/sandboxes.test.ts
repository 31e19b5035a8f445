import { expect, test } from 'vitest'
import { makeRequest } from '../providers/host-sandbox/sandbox-fixture.ts'
import { jobOfOneTask } from './activities-fixture.ts'
import { SandboxAttachments } from './sandboxes.ts'

test('a sandbox that somebody has removed is said to be gone', async () => {
  const { provider } = await jobOfOneTask()
  const { name } = await provider.createOrAdopt(makeRequest())
  const attachments = new SandboxAttachments()
  const lease = { provider: 'fake', place: await provider.place(), sandbox: name, incarnation: 1, spec: 'x' }
  const run = (script: string, batch: number) => {
    const id = { scope: 'gone', phase: 0, batch, call: 0, part: 0 }
    return attachments.use({ provider, lease }, (runner) => runner.exec({ id, script, timeoutMs: 60_000 }))
  }
  await run('true', 0)
  // Which of them is true depends on how far the removal is when the runner looks.
  const reason = /is gone: (its main process has ended|somebody has ended or removed it|it no longer exists)/
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
