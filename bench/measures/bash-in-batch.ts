import { openDockerSandbox } from '../docker-sandbox.ts'
import type { Measure } from '../measure.ts'
import { spread, timed } from '../statistics.ts'

const rounds = 20
const callsPerRound = 10

/** Ours and the Engine's take turns in one container, so that whatever else the machine does slows both. */
export const bashInBatch: Measure = {
  name: 'bash-in-batch',
  describes: 'a `bash` call in a Docker sandbox inside a batch, against the Engine’s exec',
  async run(bench) {
    const sandbox = await openDockerSandbox(bench)
    try {
      await sandbox.batch(callsPerRound, 'sequence')
      await sandbox.engineExec()
      const [ours, engines]: [number[], number[]] = [[], []]
      for (let round = 0; round < rounds; round += 1) {
        const answeredAt = await sandbox.batch(callsPerRound, 'sequence')
        ours.push(...answeredAt.map((at, index) => at - (answeredAt[index - 1] ?? 0)))
        for (let call = 0; call < callsPerRound; call += 1) engines.push(await timed(sandbox.engineExec))
      }
      const engine = spread(engines)
      const { p50, p95, samples } = spread(ours)
      return [
        {
          what: '`bash` call inside a batch, Docker',
          unit: 'ms',
          p50,
          p95,
          samples,
          goal: { atMost: 3 },
          baseline: { what: 'Engine exec', p50: engine.p50, ratio: engine.p50 / p50, ratioGoal: 10 },
          peers: 'Harbor 174, Inspect 180',
        },
        { what: 'the same command by Engine exec', unit: 'ms', ...engine },
      ]
    } finally {
      await sandbox.close()
    }
  },
}
