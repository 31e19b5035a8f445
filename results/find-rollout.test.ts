import { expect, test } from 'vitest'
import { jobOptions } from '../protocol/job-options-fixture.ts'
import { createFileStore } from '../store/file-store.ts'
import { jobKey, openedKey, planKey } from '../store/keys.ts'
import { temporaryFolder } from '../testing/temporary-folder.ts'
import { findRollout, readLatestOpening } from './find-rollout.ts'

async function storeWith(jobs: Record<string, readonly string[] | undefined>) {
  const store = createFileStore(await temporaryFolder('find'))
  for (const [job, names] of Object.entries(jobs)) {
    await store.putOnce(jobKey(job), Buffer.from(JSON.stringify(jobOptions({}))))
    const rollouts = names?.map((name) => ({ name }))
    if (rollouts !== undefined) await store.putOnce(planKey(job), Buffer.from(JSON.stringify({ rollouts })))
  }
  return store
}

const names = ['hello.oracle.1', 'hello.oracle.10', 'mend.oracle.1', 'mend.nop.1']

test.each([
  ['j.hello.oracle.1', 'hello.oracle.1'],
  ['j.hello.oracle.10', 'hello.oracle.10'],
  ['j.mend.n', 'mend.nop.1'],
  ['j.nop.1', 'mend.nop.1'],
  ['mend.nop.1', 'mend.nop.1'],
  ['mend.o', 'mend.oracle.1'],
])('%s is %s', async (text, rollout) => {
  expect(await findRollout(await storeWith({ j: names, other: ['greet.oracle.1'] }), text)).toEqual({
    job: 'j',
    rollout,
  })
})

test.each([
  ['j.mend', 'which names 2: expected one, such as j.mend.oracle.1, j.mend.nop.1'],
  ['j', 'which names 4'],
  ['j.mand.nop.1', 'the nearest are j.mend.nop.1'],
  ['quite-another', 'does not know: expected JOB.TASK.AGENT.ATTEMPT'],
  ['planned.x', 'its job has no rollouts yet'],
])('%s is refused: %s', async (text, why) => {
  const store = await storeWith({ j: names, planned: undefined })
  await expect(findRollout(store, text)).rejects.toMatchObject({
    code: 'configuration-invalid',
    message: expect.stringContaining(why) as string,
  })
})

test('the latest sandbox of a rollout is that of the highest incarnation', async () => {
  const store = await storeWith({ j: names })
  const at = { job: 'j', rollout: 'mend.nop.1' }
  expect(await readLatestOpening(store, at)).toBeUndefined()
  for (const incarnation of [2, 10, 9]) {
    await store.putOnce(openedKey({ ...at, incarnation }), Buffer.from(JSON.stringify({ workdir: `/${incarnation}` })))
  }
  expect(await readLatestOpening(store, at)).toEqual({ workdir: '/10' })
})
