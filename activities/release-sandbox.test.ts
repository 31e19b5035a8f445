import { expect, onTestFinished, test } from 'vitest'
import type { ReleaseInput } from '../protocol/activities.ts'
import type { JobOptions } from '../protocol/job.ts'
import { rolloutId } from '../protocol/names.ts'
import type { Provider } from '../providers/contract/provider.ts'
import { makeRequest } from '../providers/host-sandbox/sandbox-fixture.ts'
import { jobOfOneTask } from './activities-fixture.ts'
import { releaseSandbox } from './release-sandbox.ts'
import { sandboxName } from './sandbox-name.ts'
import { SandboxAttachments } from './sandboxes.ts'

const rollout = 'a-task.oracle.1'

/** A rollout that has had two sandboxes; `left` says which incarnations' are still there after its release. */
async function rolloutWithTwoSandboxes(keep: JobOptions['keep'] = 'never') {
  const { context, provider } = await jobOfOneTask({ options: { keep } })
  const names = [1, 2].map((incarnation) =>
    sandboxName({ namespace: 'test', rolloutId: rolloutId('j', rollout), role: 'main', incarnation }),
  )
  for (const name of names) {
    const request = makeRequest()
    await provider.createOrAdopt({ ...request, name, ownership: { ...request.ownership, owner: 'ours' } })
    onTestFinished(() => provider.destroy(name))
  }
  const release = async (more: Partial<ReleaseInput>) => {
    const input = { job: 'j', storeUrl: context.store.url, rollout, owner: 'ours', state: 'graded' } as const
    // Nobody waits for a late sandbox where it is known how the opening ended.
    const at = { context, namespace: 'test', attachments: new SandboxAttachments(60_000), lateCreateMs: 3_600_000 }
    await releaseSandbox({ ...input, incarnations: [1, 2], last: 2, mayAppear: false, ...more }, at)
    const found = await Promise.all(names.map((name) => provider.find(name)))
    return found.flatMap((sandbox, index) => (sandbox === undefined ? [] : [index + 1]))
  }
  return { release }
}

test('the sandboxes of all incarnations are gone afterwards, and a second release is fine', async () => {
  const { release } = await rolloutWithTwoSandboxes()
  expect(await release({})).toEqual([])
  expect(await release({})).toEqual([])
})

test('another owner’s sandbox under the same name is left alone', async () => {
  const { release } = await rolloutWithTwoSandboxes()
  expect(await release({ owner: 'somebody else' })).toEqual([1, 2])
})

test('a worker at another place takes what it does not find for gone in no case', async () => {
  const { release } = await rolloutWithTwoSandboxes()
  await expect(release({ place: 'elsewhere' })).rejects.toMatchObject({ code: 'host-lost' })
  expect(await release({ owner: 'somebody else' })).toEqual([1, 2])
})

test('a release is of the named incarnations alone', async () => {
  const { release } = await rolloutWithTwoSandboxes()
  expect(await release({ incarnations: [1] })).toEqual([2])
})

test.each([
  ['never', 'failed', []],
  ['on-failure', 'graded', []],
  ['on-failure', 'failed', [2]],
  ['always', 'graded', [2]],
] as const)('with --keep %s, of a rollout that is %s stay the sandboxes %j', async (keep, state, left) => {
  const { release } = await rolloutWithTwoSandboxes(keep)
  expect(await release({ state })).toEqual(left)
})

test.each([
  ['late', [1]],
  ['late, and again after it was removed', [1, 3]],
])('the sandbox of an opening that nobody answered for is removed also when it appears %s', async (_, appearsAfter) => {
  const { context, provider } = await jobOfOneTask()
  const name = sandboxName({ namespace: 'test', rolloutId: rolloutId('j', rollout), role: 'main', incarnation: 1 })
  onTestFinished(() => provider.destroy(name))
  let looks = 0
  const lateProvider: Provider = {
    ...provider,
    find: async (asked) => {
      looks += 1
      const found = await provider.find(asked)
      // The create call of a dead worker is carried out now.
      if (appearsAfter.includes(looks)) {
        const request = makeRequest()
        await provider.createOrAdopt({ ...request, name, ownership: { ...request.ownership, owner: 'ours' } })
      }
      return found
    },
  }
  const input = { job: 'j', storeUrl: context.store.url, rollout, owner: 'ours', state: 'cancelled' } as const
  await releaseSandbox(
    { ...input, incarnations: [1], last: 1, mayAppear: true },
    {
      context: { options: context.options, provider: async () => lateProvider },
      namespace: 'test',
      attachments: new SandboxAttachments(60_000),
      lateCreateMs: 3_000,
    },
  )
  expect(looks).toBeGreaterThan(appearsAfter.at(-1) ?? 0)
  expect(await provider.find(name)).toBeUndefined()
})
