import { execFile } from 'node:child_process'
import { promisify } from 'node:util'
import { openDockerSandbox } from '../docker-sandbox.ts'
import type { Measure } from '../measure.ts'
import { spread, timed } from '../statistics.ts'

const onHost = promisify(execFile)

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
      const [ours, engines, host]: [number[], number[], number[]] = [[], [], []]
      for (let round = 0; round < rounds; round += 1) {
        const answeredAt = await sandbox.batch(callsPerRound, 'sequence')
        ours.push(...answeredAt.map((at, index) => at - (answeredAt[index - 1] ?? 0)))
        for (let call = 0; call < callsPerRound; call += 1) {
          engines.push(await timed(sandbox.engineExec))
          host.push(await timed(() => onHost('sh', ['-c', 'echo hi'])))
        }
      }
      const engine = spread(engines)
      const call = spread(ours)
      return [
        {
          what: '`bash` call inside a batch, Docker',
          unit: 'ms',
          ...call,
          goal: { atMost: 3 },
          baseline: { what: 'Engine exec', p50: engine.p50, ratio: engine.p50 / call.p50, ratioGoal: 10 },
          peers: 'Harbor 174, Inspect 180',
        },
        { what: 'the same command by Engine exec', unit: 'ms', ...engine },
        { what: 'the same command by Node on the host, no sandbox', unit: 'ms', ...spread(host) },
      ]
    } finally {
      await sandbox.close()
    }
  },
}
