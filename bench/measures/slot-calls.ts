import { Sandboxes } from '../../client/index.ts'
import type { Slot } from '../../client/index.ts'
import { connectToDocker } from '../../providers/docker/docker-connection.ts'
import type { Bench } from '../bench.ts'
import { engineExec } from '../docker-sandbox.ts'
import type { Measure, Row } from '../measure.ts'
import { spread, timed } from '../statistics.ts'

const slotCount = 50
const slotsPerSandbox = 10
const callsPerSlot = 10
const rounds = 5
const command = 'echo hi'
const nanosecondsPerMs = 1_000_000
const poolName = 'bench'

/** Direct use as a training loop has it: each slot gets its calls one after another, all slots at the same time. */
export const slotCalls: Measure = {
  name: 'slot-calls',
  describes: `\`bash\` calls per second over ${slotCount} slots, against as many of the Engine’s execs`,
  async run(bench) {
    const sandboxes = await openSandboxes(bench)
    try {
      const slots = await Promise.all(
        Array.from({ length: slotCount }, (_, index) => sandboxes.acquire(`holder-${index}`)),
      )
      await callAll(sandboxes, slots, 1)
      const containers = [...new Set(slots.map(({ sandbox }) => sandbox))].map((name) =>
        connectToDocker(bench.docker).calls.getContainer(name),
      )
      const [ours, engines, processorMs]: [number[], number[], number[]] = [[], [], []]
      const [first] = containers
      for (let round = 0; round < rounds && first !== undefined; round += 1) {
        const before = await processorTime(containers)
        const tookMs = await timed(() => callAll(sandboxes, slots, callsPerSlot))
        const calls = slotCount * callsPerSlot
        ours.push((calls * 1_000) / tookMs)
        processorMs.push(((await processorTime(containers)) - before) / calls / nanosecondsPerMs)
        const execs = () =>
          Promise.all(slots.map((_, index) => engineExec(containers[index % containers.length] ?? first)))
        engines.push((slotCount * 1_000) / (await timed(execs)))
      }
      return rowsOf({ ours, engines, processorMs })
    } finally {
      await sandboxes.stop({ purge: true })
    }
  },
}

async function openSandboxes({ environment, imageMap, progress }: Bench): Promise<Sandboxes> {
  return await Sandboxes.start({
    profiles: {
      default: {
        provider: 'docker',
        runtime: { image: 'debian:bookworm-slim', network: 'none' },
        slotsPerSandbox,
        maxSandboxes: slotCount / slotsPerSandbox,
        acquireTimeoutMs: 300_000,
      },
    },
    imageMap,
    pool: poolName,
    environment,
    onProgress: progress,
  })
}

async function callAll(sandboxes: Sandboxes, slots: readonly Slot[], times: number): Promise<void> {
  const requests = slots.flatMap((slot) =>
    Array.from({ length: times }, () => ({ slot, tool: 'bash', args: { command } })),
  )
  const outcomes = await sandboxes.executeBatch(requests)
  const wrong = outcomes.find(({ output }) => output !== 'hi\n')
  if (wrong !== undefined) throw new Error(`A call has answered ${JSON.stringify(wrong.output)}`)
}

/** Of everything in these containers so far, in nanoseconds. */
async function processorTime(
  containers: readonly ReturnType<ReturnType<typeof connectToDocker>['calls']['getContainer']>[],
) {
  const stats = await Promise.all(containers.map((container) => container.stats({ stream: false, 'one-shot': true })))
  return stats.reduce((sum, one) => sum + one.cpu_stats.cpu_usage.total_usage, 0)
}

function rowsOf(at: { ours: number[]; engines: number[]; processorMs: number[] }): Row[] {
  const [rate, engine] = [spread(at.ours), spread(at.engines)]
  return [
    {
      what: `\`bash\` calls over ${slotCount} slots in ${slotCount / slotsPerSandbox} containers`,
      unit: '1/s',
      p50: rate.p50,
      samples: rate.samples,
      goal: { atLeast: 1_000 },
      baseline: { what: `Engine exec, ${slotCount} in flight`, p50: engine.p50, ratio: rate.p50 / engine.p50 },
    },
    { what: 'processor time of one of them in its container', unit: 'ms CPU', ...spread(at.processorMs) },
  ]
}
