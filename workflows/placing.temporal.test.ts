import { randomUUID } from 'node:crypto'
import { Context } from '@temporalio/activity'
import { expect, test } from 'vitest'
import { providerTaskQueue } from '../protocol/names.ts'
import { policy, scriptedActivities } from '../testing/scripted-activities.ts'
import { useTemporal } from '../testing/temporal.ts'
import type { rolloutWorkflow } from './rollout.ts'

const temporal = useTemporal()

type Script = Parameters<typeof scriptedActivities>[0]

/** A server's queues are shared by the tests of this file, so each has names of its own. */
function names() {
  const id = randomUUID()
  return { main: `main-${id}`, provider: `fake-${id}`, hostA: `a-${id}`, hostB: `b-${id}` }
}

/** One host: its worker, and what ran there. */
async function host(queue: string, script: Script = {}) {
  const { activities, calls } = scriptedActivities(script)
  return { worker: await temporal.worker(activities, queue), calls }
}

function start(queues: ReturnType<typeof names>, input: { policy: typeof policy }) {
  return temporal.environment().client.workflow.start<typeof rolloutWorkflow>('rolloutWorkflow', {
    taskQueue: queues.main,
    workflowId: randomUUID(),
    args: [
      {
        job: 'j',
        storeUrl: 'file:///none',
        rollout: 'task-0.oracle.1',
        searchable: false,
        sharedProvider: queues.provider,
        ...input,
      },
    ],
  })
}

const losing = (sandboxLoss: Partial<typeof policy.sandboxLoss>) => ({
  policy: { ...policy, sandboxLoss: { ...policy.sandboxLoss, hostLostMs: 1_000, ...sandboxLoss } },
})

test('everything that concerns a sandbox is done by the host that it was placed on', async () => {
  const queues = names()
  const places: (string | undefined)[] = []
  const placing = await host(providerTaskQueue(queues.provider), {
    placeRollout: async () => ({ place: 'b', queue: queues.hostB }),
  })
  const main = await host(queues.main)
  const reached = await host(queues.hostB, {
    openRollout: async ({ place }) => {
      places.push(place)
      return {
        lease: { provider: 'fake', place: 'b', sandbox: 's', incarnation: 1, spec: 'spec' },
        agentTimeoutMs: 60_000,
        verifierTimeoutMs: 60_000,
      }
    },
  })
  await placing.worker.runUntil(
    main.worker.runUntil(
      reached.worker.runUntil(async () => {
        const handle = await start(queues, losing({}))
        expect(await handle.result()).toEqual({ state: 'graded', reward: 1 })
      }),
    ),
  )
  expect(placing.calls).toEqual(['placeRollout'])
  expect(main.calls).toEqual([])
  expect(reached.calls).toEqual(['openRollout', 'runTurns', 'gradeRollout', 'recordRollout', 'releaseSandbox'])
  expect(places).toEqual(['b'])
})

test('a host that does not answer is lost: another one goes on, and the first removes its sandbox when it is back', async () => {
  const queues = names()
  const placing = await host(providerTaskQueue(queues.provider), {
    placeRollout: async ({ incarnation }) =>
      incarnation === 1 ? { place: 'a', queue: queues.hostA } : { place: 'b', queue: queues.hostB },
  })
  const main = await host(queues.main)
  const released: (readonly number[])[] = []
  const script: Script = { releaseSandbox: async ({ incarnations }) => void released.push(incarnations) }
  const second = await host(queues.hostB, script)
  await placing.worker.runUntil(
    main.worker.runUntil(
      second.worker.runUntil(async () => {
        const handle = await start(queues, losing({ policy: 'restart', maxIncarnations: 2 }))
        await expect.poll(() => released, { timeout: 30_000 }).toEqual([[2]])
        const returned = await host(queues.hostA, script)
        await returned.worker.runUntil(async () => {
          expect(await handle.result()).toEqual({ state: 'graded', reward: 1 })
        })
        expect(returned.calls).toEqual(['releaseSandbox'])
      }),
    ),
  )
  expect(released).toEqual([[2], [1]])
})

test('a host that is lost fails the rollout where the policy says so, and it is recorded without it', async () => {
  const queues = names()
  const placing = await host(providerTaskQueue(queues.provider), {
    placeRollout: async () => ({ place: 'a', queue: queues.hostA }),
  })
  const recorded: unknown[] = []
  const main = await host(queues.main, {
    recordRollout: async ({ state, failure, lease }) => {
      recorded.push(lease, failure?.code)
      return { state, code: 'host-lost' }
    },
  })
  await placing.worker.runUntil(
    main.worker.runUntil(async () => {
      const handle = await start(queues, losing({ policy: 'fail' }))
      await expect.poll(() => recorded, { timeout: 30_000 }).toEqual([undefined, 'host-lost'])
      const returned = await host(queues.hostA)
      await returned.worker.runUntil(handle.result())
      expect(returned.calls).toEqual(['releaseSandbox'])
    }),
  )
})

test('a grade is kept when its host is lost before it is recorded', async () => {
  const queues = names()
  const placing = await host(providerTaskQueue(queues.provider), {
    placeRollout: async () => ({ place: 'a', queue: queues.hostA }),
  })
  const main = await host(queues.main)
  const graded = Promise.withResolvers<void>()
  const { worker } = await host(queues.hostA, {
    gradeRollout: async () => {
      graded.resolve()
      return { rewards: { reward: 0.25 }, integrity: 'clean' }
    },
    recordRollout: async () => {
      await Context.current().cancelled
      throw new Error('never reached')
    },
  })
  await placing.worker.runUntil(
    main.worker.runUntil(async () => {
      const handle = await start(queues, losing({}))
      await worker.runUntil(graded.promise)
      await expect.poll(() => main.calls, { timeout: 60_000 }).toEqual(['recordRollout'])
      const returned = await host(queues.hostA)
      await returned.worker.runUntil(async () => {
        expect(await handle.result()).toEqual({ state: 'graded', reward: 0.25 })
      })
    }),
  )
})

test('without a host that has room the rollout fails as acquire-timeout, and nothing is released', async () => {
  const queues = names()
  const main = await host(queues.main)
  await main.worker.runUntil(async () => {
    const handle = await start(queues, { policy: { ...policy, acquireTimeoutMs: 1_000 } })
    expect(await handle.result()).toEqual({ state: 'failed', code: 'acquire-timeout' })
  })
  expect(main.calls).toEqual(['recordRollout'])
})
