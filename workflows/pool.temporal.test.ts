import { randomUUID } from 'node:crypto'
import { setTimeout as delay } from 'node:timers/promises'
import { expect, test, vi } from 'vitest'
import { PoolClient } from '../client/sandboxes/pool-client.ts'
import type { Activities } from '../protocol/activities.ts'
import { profileSchema } from '../protocol/pool.ts'
import type { PoolStatus, ProfileInput } from '../protocol/pool.ts'
import { failing, scriptedActivities } from '../testing/scripted-activities.ts'
import { createWorker, useTemporal } from '../testing/temporal.ts'
import { sandboxOwner } from '../workers/sandbox-owner.ts'
import type { poolWorkflow } from './pool.ts'

const temporal = useTemporal()

/** Sandboxes of a scripted provider: what is there, and what was most at a time. */
function scriptedProvider(script: Partial<Activities> = {}) {
  const there = new Set<number>()
  const seen = { most: 0, resets: [] as string[], dead: new Set<number>() }
  const base = scriptedActivities(script).activities
  const activities: Partial<Activities> = {
    ...base,
    openPoolSandbox: async (input) => {
      const made = await base.openPoolSandbox(input)
      there.add(input.sandboxNumber)
      seen.most = Math.max(seen.most, there.size)
      return made
    },
    resetSlots: async (input) => {
      await base.resetSlots(input)
      for (const { slot, phase } of input.slots) seen.resets.push(`${input.sandboxNumber}/${slot}/${phase}`)
    },
    removePoolSandbox: async ({ sandboxNumber }) => void there.delete(sandboxNumber),
    checkPool: async ({ sandboxes }) => ({
      dead: sandboxes
        .filter((number) => seen.dead.has(number))
        .map((sandboxNumber) => ({ sandboxNumber, reason: 'oom' })),
    }),
  }
  return { activities, there, seen }
}

/** Nobody serves the pool for so long. */
type Outage = (lastsMs: number) => Promise<void>

/** A pool on a real server, with a worker of its own. Ended, with everything in it, by the end of the test. */
async function withPool(
  at: { profile?: Partial<ProfileInput>; script?: Partial<Activities>; checkPool?: Activities['checkPool'] },
  work: (pool: PoolClient, seen: ReturnType<typeof scriptedProvider> & { outage: Outage }) => Promise<void>,
): Promise<void> {
  const environment = temporal.environment()
  const taskQueue = `pool-${randomUUID()}`
  const provider = scriptedProvider({
    placePoolSandbox: async () => ({ place: 'here', queue: taskQueue }),
    ...at.script,
  })
  if (at.checkPool !== undefined) provider.activities.checkPool = at.checkPool
  const profile = profileSchema.parse({ name: 'p', provider: { name: taskQueue }, slotsPerSandbox: 2, ...at.profile })
  const startWorkers = async (): Promise<() => Promise<void>> => {
    const workers = await Promise.all([
      createWorker(environment, provider.activities, taskQueue),
      createWorker(environment, provider.activities, `rollcall.${taskQueue}`),
    ])
    const running = Promise.all(workers.map((worker) => worker.run()))
    return async () => {
      for (const worker of workers) worker.shutdown()
      await running
    }
  }
  let stopWorkers = await startWorkers()
  const outage: Outage = async (lastsMs) => {
    await stopWorkers()
    await delay(lastsMs)
    stopWorkers = await startWorkers()
  }
  const id = `pool.test.${taskQueue}`
  await environment.client.workflow.start<typeof poolWorkflow>('poolWorkflow', {
    workflowId: id,
    taskQueue,
    args: [{ profile }],
  })
  const pool = new PoolClient({ client: environment.client, id })
  try {
    await work(pool, { ...provider, outage })
    await pool.stop({ purge: true })
    expect([...provider.there]).toEqual([])
  } finally {
    await stopWorkers()
  }
}

const eventually = { timeout: 20_000, interval: 50 }

async function statusWhen(pool: PoolClient, holds: (status: PoolStatus) => boolean): Promise<PoolStatus> {
  return await vi.waitFor(async () => {
    const status = await pool.status()
    if (!holds(status)) throw new Error(JSON.stringify(status))
    return status
  }, eventually)
}

test('slots are handed out, the same one to the same holder, and released once', async () => {
  await withPool({}, async (pool) => {
    const [first, again] = await Promise.all([pool.acquire('a'), pool.acquire('a')])
    expect(again.id).toBe(first.id)
    const other = await pool.acquire('b')
    expect([other.sandbox, other.slot]).toEqual([first.sandbox, 1])
    expect(other.user).toEqual({ name: 'rollcall-slot-1', uid: 61_001 })
    expect(await pool.release({ id: first.id, holder: 'b' })).toBe('not-held')
    expect(await pool.release(first)).toBe('released')
    expect(await pool.release(first)).toBe('not-held')
    const next = await pool.acquire('c')
    expect(await pool.release(first)).toBe('not-held')
    expect((await pool.renew([next]))[0]?.state).toBe('held')
  })
})

test('a slot is reset before somebody else has it, and its phase grows', async () => {
  await withPool({ profile: { slotsPerSandbox: 1, slotUser: 'own', maxSandboxes: 1 } }, async (pool, { seen }) => {
    const first = await pool.acquire('a')
    await pool.release(first)
    const second = await pool.acquire('b')
    expect(seen.resets).toEqual([`1/0/${first.phase}`])
    expect(second.phase).toBeGreaterThan(first.phase)
    expect(second.hasFiles).toBe(false)
  })
})

test('files stay for their holder until somebody else needs the slot', async () => {
  await withPool({ profile: { slotsPerSandbox: 1, slotUser: 'own', maxSandboxes: 1 } }, async (pool, { seen }) => {
    await pool.release(await pool.acquire('a'), { reset: false })
    const back = await pool.acquire('a')
    expect(back.hasFiles).toBe(true)
    expect(seen.resets).toEqual([])
    await pool.release(back, { reset: false })
    const other = await pool.acquire('b')
    expect([other.hasFiles, seen.resets]).toEqual([false, [`1/0/${back.phase}`]])
  })
})

test('those who wait are served in the order in which they came, and no more sandboxes are made than may be', async () => {
  await withPool({ profile: { maxSandboxes: 2 } }, async (pool, { seen }) => {
    const leases = await Promise.all(['a', 'b', 'c', 'd'].map((holder) => pool.acquire(holder)))
    const order: string[] = []
    const waiting: Promise<void>[] = []
    for (const holder of ['e', 'f', 'g', 'h']) {
      waiting.push(pool.acquire(holder).then((lease) => void order.push(lease.holder)))
      await statusWhen(pool, ({ queue }) => queue.includes(holder))
    }
    for (const lease of leases) {
      await pool.release(lease)
      await vi.waitFor(() => expect(order.length).toBeGreaterThan(leases.indexOf(lease)), eventually)
    }
    await Promise.all(waiting)
    expect(order).toEqual(['e', 'f', 'g', 'h'])
    expect(seen.most).toBe(2)
  })
})

test('who gets nothing in time is told its place in the queue, and leaves it', async () => {
  await withPool({ profile: { slotsPerSandbox: 1, maxSandboxes: 1 } }, async (pool) => {
    await pool.acquire('a')
    const told = {
      code: 'acquire-timeout',
      message: 'b got no slot within 300 ms: number 1 in the queue, none is free',
    }
    await expect(pool.acquire('b', { timeoutMs: 300 })).rejects.toMatchObject(told)
    await statusWhen(pool, ({ queue }) => queue.length === 0)
  })
})

test('an idle pool shrinks to its least number', async () => {
  const profile = {
    slotsPerSandbox: 1,
    slotUser: 'own' as const,
    minSandboxes: 1,
    maxSandboxes: 3,
    idleTimeoutMs: 1_000,
  }
  await withPool({ profile }, async (pool, { there }) => {
    const leases = await Promise.all(['a', 'b', 'c'].map((holder) => pool.acquire(holder)))
    expect(there.size).toBe(3)
    await Promise.all(leases.map((lease) => pool.release(lease)))
    await statusWhen(pool, ({ sandboxes }) => sandboxes.length === 1)
    expect(there.size).toBe(1)
  })
})

test('a lease that nobody renews expires, and its slot is reset; one that is renewed stays', async () => {
  await withPool({}, async (pool, { seen }) => {
    const gone = await pool.acquire('gone', { leaseMs: 1_000 })
    const kept = await pool.acquire('kept', { leaseMs: 1_000 })
    await vi.waitFor(async () => {
      const [answer] = await pool.renew([kept])
      expect(answer?.state).toBe('held')
      expect((await pool.status()).counts.expired).toBe(1)
    }, eventually)
    expect(await pool.renew([gone])).toEqual([{ id: gone.id, state: 'lost', reason: 'expired' }])
    expect(seen.resets).toEqual([`1/0/${gone.phase}`])
  })
})

test('an outage costs nobody a lease, whoever speaks first when it is over', async () => {
  await withPool({}, async (pool, { outage }) => {
    const first = await pool.acquire('first', { leaseMs: 1_000 })
    const other = await pool.acquire('other', { leaseMs: 1_000 })
    const over = outage(9_000)
    const renewed = delay(3_000).then(() => pool.renew([first]))
    await over
    expect((await renewed)[0]?.state).toBe('held')
    expect((await pool.renew([other]))[0]?.state).toBe('held')
  })
})

test('a dead sandbox counts for nothing: its leases are lost and it is replaced', async () => {
  await withPool({ profile: { slotsPerSandbox: 1, slotUser: 'own', maxSandboxes: 1 } }, async (pool, { seen }) => {
    const lease = await pool.acquire('a')
    seen.dead.add(lease.sandboxNumber)
    const waiting = pool.acquire('b')
    // The first look at the sandbox may have come only now.
    await statusWhen(pool, ({ queue, counts }) => queue.includes('b') || counts.lost === 1)
    await pool.release(lease, { suspect: true })
    expect((await waiting).sandboxNumber).toBe(2)
    const { counts } = await pool.status()
    expect(counts.lost).toBe(1)
  })
})

test('a sandbox that does not answer is looked at again, also where a look at it is under way', async () => {
  const looks: PromiseWithResolvers<void>[] = []
  const checkPool: Activities['checkPool'] = async ({ sandboxes: [sandboxNumber = 0] }) => {
    const look = Promise.withResolvers<void>()
    looks.push(look)
    if (looks.length > 1) return { dead: sandboxNumber === 1 ? [{ sandboxNumber, reason: 'oom' }] : [] }
    await look.promise
    return { dead: [] }
  }
  await withPool({ profile: { slotsPerSandbox: 1, slotUser: 'own', maxSandboxes: 1 }, checkPool }, async (pool) => {
    const lease = await pool.acquire('a')
    await vi.waitFor(() => expect(looks).toHaveLength(1), eventually)
    await pool.release(lease, { suspect: true })
    const waiting = pool.acquire('b')
    looks[0]?.resolve()
    expect((await waiting).sandboxNumber).toBe(2)
  })
})

test('a slot that cannot be reset is never given to anybody: its sandbox is replaced', async () => {
  const script: Partial<Activities> = { resetSlots: async () => failing('sandbox-lost') }
  await withPool({ profile: { slotsPerSandbox: 1, slotUser: 'own', maxSandboxes: 1 }, script }, async (pool) => {
    const first = await pool.acquire('a')
    await pool.release(first)
    expect((await pool.acquire('b')).sandboxNumber).toBe(2)
  })
})

test('a sandbox near its end is drained, then replaced', async () => {
  const aged: Partial<Activities> = {
    openPoolSandbox: async ({ sandboxNumber, profile }) => ({
      name: `s-${sandboxNumber}`,
      spec: 'spec',
      image: 'image',
      workdir: '/',
      endsAtMs: Date.now() + (sandboxNumber === 1 ? 14_000 : profile.maxLifetimeMs),
    }),
  }
  const profile = { slotsPerSandbox: 1, slotUser: 'own' as const, maxSandboxes: 2, maxLifetimeMs: 60_000 }
  await withPool({ profile, script: aged }, async (pool) => {
    const lease = await pool.acquire('a')
    await statusWhen(pool, ({ sandboxes }) => sandboxes[0]?.state === 'draining')
    expect((await pool.renew([lease]))[0]?.state).toBe('held')
    expect((await pool.acquire('b')).sandboxNumber).toBe(2)
    await pool.release(lease)
    await statusWhen(pool, ({ sandboxes }) => sandboxes.every(({ number }) => number === 2))
  })
})

test('why no sandbox can be made is what those who wait are told', async () => {
  const script: Partial<Activities> = { openPoolSandbox: async () => failing('image-missing') }
  await withPool({ script }, async (pool) => {
    await expect(pool.acquire('a')).rejects.toMatchObject({ code: 'image-missing', message: 'scripted image-missing' })
  })
})

test('a whole sandbox is bound to its workflow, and replaced when that is over', async () => {
  const closed = new Set<string>()
  const script: Partial<Activities> = {
    findClosedWorkflows: async ({ workflows }) => workflows.filter((id) => closed.has(id)),
  }
  await withPool({ profile: { slotsPerSandbox: 1, maxSandboxes: 1 }, script }, async (pool) => {
    const first = await pool.acquire('r/1', { workflow: 'r', whole: true })
    expect(first.expiresAtMs).toBeUndefined()
    expect(await pool.releaseHolder('r/1', { workflow: 'other' })).toBe('not-held')
    expect(await pool.releaseHolder('r/1', { workflow: 'r' })).toBe('released')
    expect((await pool.acquire('r/2', { workflow: 'r', whole: true })).sandboxNumber).toBe(2)
  })
})

test('the sweep is told which sandboxes are the pool’s', async () => {
  const owners: string[] = []
  const script: Partial<Activities> = {
    placePoolSandbox: async ({ owner, pool }) => {
      owners.push(owner)
      return { place: 'here', queue: pool.slice('pool.test.'.length) }
    },
  }
  await withPool({ script }, async (pool) => {
    await pool.acquire('a')
    const { client } = temporal.environment()
    const ownership = { job: pool.id, workflow: pool.id, role: 'pool', spec: '', keep: 'never', expires: 0 } as const
    const ownerOf = (owner: string, incarnation: number) =>
      sandboxOwner({ client, namespace: 'n', ownership: { ...ownership, namespace: 'n', owner, incarnation } })
    expect(await ownerOf(owners[0] ?? '', 1)).toEqual({ state: 'open' })
    expect(await ownerOf(owners[0] ?? '', 2)).toEqual({ state: 'disowned' })
    expect(await ownerOf('another', 1)).toEqual({ state: 'disowned' })
  })
})

test('a pool that is made smaller lets its idle sandboxes go, and refuses what makes no sense', async () => {
  const profile = { slotsPerSandbox: 1, slotUser: 'own' as const, minSandboxes: 3, maxSandboxes: 3 }
  await withPool({ profile }, async (pool) => {
    await statusWhen(
      pool,
      ({ sandboxes }) => sandboxes.every(({ state }) => state === 'ready') && sandboxes.length === 3,
    )
    await expect(pool.resize({ maxSandboxes: 2 })).rejects.toThrow('Sizes are 3 to 2')
    await pool.resize({ minSandboxes: 1, maxSandboxes: 1 })
    await statusWhen(pool, ({ sandboxes }) => sandboxes.length === 1)
  })
})

test('a pool that drains gives out nothing more, and ends with its last lease', async () => {
  await withPool({}, async (pool) => {
    const lease = await pool.acquire('a')
    const stopped = pool.stop()
    await statusWhen(pool, ({ state }) => state === 'draining')
    await expect(pool.acquire('b')).rejects.toThrow('The pool stops')
    await pool.release(lease)
    await stopped
    expect((await pool.status()).state).toBe('ended')
    await expect(pool.acquire('c', { timeoutMs: 100 })).rejects.toThrow('does not run')
  })
})
