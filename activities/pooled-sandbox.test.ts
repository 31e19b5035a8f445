import { expect, test } from 'vitest'
import { jobOptions } from '../protocol/job-options-fixture.ts'
import { profileSchema } from '../protocol/pool.ts'
import type { Task } from '../tasks/task.ts'
import { jobOfOneTask } from './activities-fixture.ts'
import { acquirePooled, releasePooled } from './pooled-sandbox.ts'
import { poolProblems } from './rollout-spec.ts'

const { signal } = new AbortController()
const lease = { id: 'lease' }

/** A task of a job with one pool, and what was asked of that. */
async function pooled(more: { task?: Partial<Task>; profile?: object; options?: object } = {}) {
  const profile = profileSchema.parse({
    name: 'p',
    provider: { name: 'fake' },
    maxLifetimeMs: 86_400_000,
    ...more.profile,
  })
  const options = { pools: { name: 'mine', profile: 'p', profiles: { p: profile } }, ...more.options }
  const { context } = await jobOfOneTask({ options })
  const [entry] = context.options.tasks
  const loaded = await context.task(entry?.name ?? '')
  const image = { type: 'default' as const }
  const task = { ...loaded, runtime: { ...loaded.runtime, image }, ...more.task }
  const asked: unknown[] = []
  const services = {
    pools: {
      acquire: async (pool: string, request: object) => {
        asked.push(['acquire', pool, request])
        return lease as never
      },
      release: async (pool: string, at: object) => void asked.push(['release', pool, at]),
    },
  }
  return { at: { context, task, profile, services }, order: { task, options: context.options }, asked }
}

const rollout = { job: 'j', rollout: 't.oracle.1' }

test('a rollout asks for a whole sandbox that lives long enough, for as long as its workflow runs', async () => {
  const { at, asked } = await pooled()
  expect(await acquirePooled({ ...rollout, incarnation: 1 }, { ...at, signal })).toBe(lease)
  const request = { holder: 'j.t.oracle.1/1', workflow: 'j.t.oracle.1', whole: true, timeoutMs: 60_000 }
  expect(asked).toEqual([['acquire', 'pool.mine.p', { ...request, neededMs: expect.any(Number), signal }]])
})

test('another incarnation first gives back what was lost, for the pool to look after', async () => {
  const { at, asked } = await pooled()
  await acquirePooled({ ...rollout, incarnation: 2 }, { ...at, signal })
  expect(asked).toMatchObject([
    ['release', 'pool.mine.p', { holder: 'j.t.oracle.1/1', suspect: true }],
    ['acquire', 'pool.mine.p', { holder: 'j.t.oracle.1/2' }],
  ])
})

test('the end of a rollout gives back what all its incarnations may have', async () => {
  const { at, asked } = await pooled()
  await releasePooled({ ...rollout, incarnations: [1, 2] }, at)
  expect(asked).toMatchObject([
    ['release', 'pool.mine.p', { holder: 'j.t.oracle.1/1' }],
    ['release', 'pool.mine.p', { holder: 'j.t.oracle.1/2' }],
  ])
})

test.each<[what: string, Parameters<typeof pooled>[0], field: string]>([
  [
    'a Dockerfile',
    { task: { runtime: { image: { type: 'dockerfile', directory: '/', contentHash: 'c' } } as never } },
    'environment.image',
  ],
  ['slots that others use', { profile: { slotsPerSandbox: 2 } }, 'profile'],
  ['a life that is too short', { profile: { maxLifetimeMs: 60_000 } }, 'profile'],
  ['a runtime of the job', { options: { runtime: { user: 'x' } } }, 'runtime'],
  ['a sandbox that is to be kept', { options: { keep: 'always' } }, 'keep'],
])('%s is refused by name', async (_what, more, field) => {
  const { order } = await pooled(more?.task?.runtime === undefined ? more : {})
  const given = more?.task?.runtime
  const task = given === undefined ? order.task : { ...order.task, runtime: { ...order.task.runtime, ...given } }
  expect(poolProblems({ ...order, task }).map((problem) => problem.field)).toEqual([field])
})

test('a task that names the profile itself is content with its image', async () => {
  const { order } = await pooled()
  const image = { type: 'name', name: 'other' } as const
  const task = { ...order.task, runtime: { ...order.task.runtime, image }, profile: 'p' }
  expect(poolProblems({ ...order, task })).toEqual([])
})

test('a profile that the job lacks is named with its task', () => {
  const options = jobOptions({})
  const task = { name: 't', profile: 'q' } as Task
  expect(() => poolProblems({ task, options })).toThrow('Task t names profile q, which the job lacks')
})
