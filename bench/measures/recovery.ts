import { readServerRecord } from '../../client/server/record.ts'
import type { Bench } from '../bench.ts'
import { holdRollout } from '../held-rollout.ts'
import type { HeldRollout } from '../held-rollout.ts'
import type { Measure } from '../measure.ts'
import { spread } from '../statistics.ts'
import { benchJobId } from '../timed-job.ts'
import { withWarmWorker } from '../warm-worker.ts'

const perSecond = 1000
const mostRuns = 5

/** From a process's end until a worker has the rollout's command again, it ends, and the agent's next one runs. */
export const recovery: Measure = {
  name: 'recovery',
  describes: 'a worker or the server is killed while a command runs: until the next command of the rollout runs',
  async run(bench) {
    const rows = []
    for (const { what, end, workers, goal } of cases) {
      const tookS: number[] = []
      for (let run = 0; run < Math.min(bench.runs, mostRuns); run += 1) {
        tookS.push((await recover(bench, { end, workers })) / perSecond)
      }
      rows.push({ what, unit: 's' as const, ...spread(tookS), ...(goal === undefined ? {} : { goal }) })
    }
    return rows
  },
}

type End = (bench: Bench, held: HeldRollout) => Promise<void>

const cases: readonly { what: string; end: End; workers: 'own' | 'two'; goal?: { atMost: number } }[] = [
  { what: 'SIGKILL of the worker, another serves', end: endWorker('SIGKILL'), workers: 'two', goal: { atMost: 10 } },
  { what: 'SIGKILL of a job’s own worker', end: endWorker('SIGKILL'), workers: 'own', goal: { atMost: 10 } },
  { what: 'SIGTERM of the worker, another serves', end: endWorker('SIGTERM'), workers: 'two', goal: { atMost: 1 } },
  { what: 'SIGKILL of the embedded server', end: endServer, workers: 'two' },
]

function endWorker(signal: NodeJS.Signals): End {
  return async (_bench, held) => {
    const pid = await held.workerPid()
    if (pid === undefined) throw new Error('No worker has the command, although it runs')
    process.kill(pid, signal)
    await held.untilServedByOther(pid)
  }
}

/** A turn that runs needs no server: what is waited for is that the server, started again, has the rollout. */
async function endServer({ environment }: Bench, held: HeldRollout): Promise<void> {
  const record = await readServerRecord(environment.stateDirectory)
  if (record === undefined) throw new Error('The bench has no server')
  process.kill(record.pid, 'SIGKILL')
  await held.untilServed()
}

async function recover(bench: Bench, { end, workers }: { end: End; workers: 'own' | 'two' }): Promise<number> {
  const { environment, imageMap } = bench
  const work = async (): Promise<number> => {
    const worker = workers === 'own' ? 'own' : 'shared'
    const held = await holdRollout(environment, { job: benchJobId(), provider: 'docker', imageMap, worker })
    try {
      const startedAt = performance.now()
      await end(bench, held)
      await held.release()
      await held.untilEffect('next')
      const tookMs = performance.now() - startedAt
      await held.job.result()
      return tookMs
    } finally {
      await held.close()
    }
  }
  return workers === 'own' ? await work() : await withWarmWorker(bench, () => withWarmWorker(bench, work))
}
