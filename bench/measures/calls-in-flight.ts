import { openDockerSandbox } from '../docker-sandbox.ts'
import type { Measure } from '../measure.ts'
import { spread, timed } from '../statistics.ts'

const inFlight = 60
const rounds = 5
/** Batches for one round of the Engine's execs, which take so much longer. */
const batchesPerRound = 10

export const callsInFlight: Measure = {
  name: 'calls-in-flight',
  describes: '`bash` calls per second with 60 in flight in one container, against as many of the Engine’s execs',
  async run(bench) {
    const sandbox = await openDockerSandbox(bench)
    try {
      await sandbox.batch(inFlight, 'parallel')
      const [ours, engines, latencies]: [number[], number[], number[]] = [[], [], []]
      const engineRound = () => Promise.all(Array.from({ length: inFlight }, sandbox.engineExec))
      for (let round = 0; round < rounds; round += 1) {
        const tookMs = await timed(async () => {
          for (let batch = 0; batch < batchesPerRound; batch += 1) {
            latencies.push(...(await sandbox.batch(inFlight, 'parallel')))
          }
        })
        ours.push((inFlight * batchesPerRound * 1000) / tookMs)
        engines.push((inFlight * 1000) / (await timed(engineRound)))
      }
      const engine = spread(engines)
      const rate = spread(ours)
      return [
        {
          what: `\`bash\` calls, ${inFlight} in flight, one container`,
          unit: '1/s',
          p50: rate.p50,
          samples: rate.samples,
          goal: { atLeast: 500 },
          baseline: { what: `Engine exec, ${inFlight} in flight`, p50: engine.p50, ratio: rate.p50 / engine.p50 },
          peers: 'Harbor 8, Inspect 8.7 (16 in flight)',
        },
        { what: `how long each of the ${inFlight} took`, unit: 'ms', ...spread(latencies) },
      ]
    } finally {
      await sandbox.close()
    }
  },
}
