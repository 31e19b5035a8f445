import { setTimeout as delay } from 'node:timers/promises'
import type { PoolClient } from '../../client/sandboxes/pool-client.ts'
import { startPool } from '../../client/sandboxes/start-pool.ts'
import { profileSchema } from '../../protocol/pool.ts'
import type { ProfileInput } from '../../protocol/pool.ts'
import { connectToDocker } from '../../providers/docker/docker-connection.ts'
import type { Bench } from '../bench.ts'
import type { Measure, Row } from '../measure.ts'
import { processUsage } from '../process-usage.ts'
import { spread, timed } from '../statistics.ts'
import { withWarmWorker } from '../warm-worker.ts'

const single = 100
const cycles = 10_000
const holdersAtOnce = 25
/** Of the growth that is measured: what comes before is warming up. */
const warmUp = 1_000
const slotsPerSandbox = 10

/** Leases: what a slot and a warm sandbox cost with everything durable about it, and that they leave nothing. */
export const pools: Measure = {
  name: 'pools',
  describes: 'a warm sandbox and a slot out of a pool, and 10,000 cycles of acquire and release',
  run: (bench) =>
    withWarmWorker(bench, async (workerPid) => [
      ...(await warmSandboxes(bench)),
      ...(await withPool(bench, { name: 'slots', slotsPerSandbox, minSandboxes: 5, maxSandboxes: 5 }, async (pool) => [
        ...(await slots(pool)),
        ...(await manyCycles(pool, bench, workerPid)),
      ])),
    ]),
}

async function warmSandboxes(bench: Bench): Promise<Row[]> {
  const profile = { name: 'warm', minSandboxes: 4, maxSandboxes: 4 }
  return await withPool(bench, profile, async (pool) => {
    const took: number[] = []
    for (let run = 0; run < 3 * bench.runs; run += 1) {
      await untilFree(pool, 1)
      const holder = `rollout-${run}`
      took.push(await timed(() => pool.acquire(holder, { workflow: pool.id, whole: true })))
      await pool.releaseHolder(holder, { workflow: pool.id })
    }
    return [
      {
        what: 'a warm sandbox out of a pool, as a rollout takes it',
        unit: 'ms',
        ...spread(took),
        goal: { atMost: 50 },
      },
    ]
  })
}

async function slots(pool: PoolClient): Promise<Row[]> {
  const took: number[] = []
  for (let run = 0; run < single; run += 1) {
    await untilFree(pool, 5)
    const holder = `one-${run}`
    let lease: Awaited<ReturnType<PoolClient['acquire']>> | undefined
    took.push(await timed(async () => (lease = await pool.acquire(holder))))
    if (lease !== undefined) await pool.release(lease)
  }
  return [{ what: 'a slot out of a pool, one at a time', unit: 'ms', ...spread(took), goal: { atMost: 20 } }]
}

/** Every lease is another holder's, so that every slot is reset each time. */
async function manyCycles(pool: PoolClient, bench: Bench, workerPid: number): Promise<Row[]> {
  let next = 0
  const took: number[] = []
  const until = async (count: number): Promise<void> => {
    while (next < count) {
      const holder = `cycle-${(next += 1)}`
      const began = performance.now()
      const lease = await pool.acquire(holder, { timeoutMs: 300_000 })
      took.push(performance.now() - began)
      await pool.release(lease)
    }
  }
  const together = (count: number) => Promise.all(Array.from({ length: holdersAtOnce }, () => until(count)))
  await together(warmUp)
  const before = await measured(pool, bench, workerPid)
  const tookMs = await timed(() => together(warmUp + cycles))
  const after = await measured(pool, bench, workerPid)
  const grown = (what: string, unit: Row['unit'], key: keyof typeof before): Row => ({
    what: `… ${what} before`,
    unit,
    p50: before[key],
    samples: 1,
    baseline: { what: 'after', p50: after[key], ratio: before[key] / after[key] },
  })
  return [
    {
      what: `${cycles} cycles, ${holdersAtOnce} holders at a time, 50 slots`,
      unit: '1/s',
      p50: (cycles * 1_000) / tookMs,
      samples: 1,
    },
    { what: '… an acquire among them', unit: 'ms', ...spread(took.slice(warmUp)) },
    grown('worker’s memory', 'MiB', 'workerMiB'),
    grown('this client’s memory', 'MiB', 'clientMiB'),
    grown('processes in the sandboxes', 'events', 'processes'),
    grown('files of the runner in a sandbox', 'events', 'files'),
    {
      what: '… longest history of the pool',
      unit: 'events',
      p50: Math.max(...(await historyLengths(pool, bench))),
      samples: 1,
    },
  ]
}

async function measured(pool: PoolClient, bench: Bench, workerPid: number) {
  await untilFree(pool, 5 * slotsPerSandbox)
  const { calls } = connectToDocker(bench.docker)
  const names = (await pool.status()).sandboxes.flatMap(({ name }) => name ?? [])
  const tops = await Promise.all(names.map((name) => calls.getContainer(name).top()))
  const files = await Promise.all(names.map((name) => countFiles(calls.getContainer(name))))
  return {
    workerMiB: (await processUsage(workerPid)).residentMiB,
    clientMiB: process.memoryUsage().rss / 2 ** 20,
    processes: tops.reduce((sum, { Processes }) => sum + Processes.length, 0),
    files: Math.max(...files),
  }
}

/** Files of root that came since the sandbox was made, which are the runner's. */
async function countFiles(
  container: ReturnType<ReturnType<typeof connectToDocker>['calls']['getContainer']>,
): Promise<number> {
  const changes = (await container.changes()) ?? []
  return changes.length
}

/** Of each run of the workflow: it continues as new. */
async function historyLengths(pool: PoolClient, { temporal }: Bench): Promise<number[]> {
  const lengths: number[] = []
  for await (const { historyLength } of temporal.client.workflow.list({ query: `WorkflowId = "${pool.id}"` })) {
    if (historyLength !== undefined) lengths.push(historyLength)
  }
  return lengths
}

async function untilFree(pool: PoolClient, free: number): Promise<void> {
  while ((await pool.status()).slots.free < free) await delay(20)
}

async function withPool(
  bench: Bench,
  more: Omit<ProfileInput, 'provider'>,
  work: (pool: PoolClient) => Promise<Row[]>,
): Promise<Row[]> {
  const { temporal, environment, imageMap, progress } = bench
  const runtime = { image: 'debian:bookworm-slim', network: 'none' as const }
  const profile = profileSchema.parse({
    provider: { name: 'docker' },
    runtime,
    imageMap,
    maxLifetimeMs: 7_200_000,
    ...more,
  })
  const pool = await startPool({ temporal, environment, profile, onProgress: progress })
  try {
    await untilFree(pool, profile.minSandboxes * profile.slotsPerSandbox)
    return await work(pool)
  } finally {
    await pool.stop({ purge: true })
    await pool.close()
  }
}
