import { join } from 'node:path'
import { execa } from 'execa'
import type { Bench } from '../bench.ts'
import { workersEnded } from '../bench.ts'
import type { Measure } from '../measure.ts'
import { spread, timed } from '../statistics.ts'
import { benchJobId } from '../timed-job.ts'
import { rollcallCommand } from '../warm-worker.ts'

const many = 20
const atOnce = 4
const perSecond = 1000

/** `rollcall run` as a shell sees it, its worker included, which it starts; the server runs, everything is cached. */
export const wholeProcess: Measure = {
  name: 'whole-process',
  describes: 'one trivial oracle rollout, and 20 of them 4 at a time, as a whole `rollcall run` process',
  async run(bench) {
    await rollcallRun(bench, 1)
    const [single, twenty]: [number[], number[]] = [[], []]
    for (let run = 0; run < bench.runs; run += 1) single.push((await rollcallRun(bench, 1)) / perSecond)
    for (let run = 0; run < Math.min(bench.runs, 3); run += 1) twenty.push((await rollcallRun(bench, many)) / perSecond)
    return [
      {
        what: 'one trivial rollout, Docker, whole process',
        unit: 's',
        ...spread(single),
        goal: { atMost: 1.5 },
        peers: 'Harbor 16.5, Inspect 8.0, HUD 4.9',
      },
      {
        what: `${many} trivial rollouts, ${atOnce} at a time, Docker, whole process`,
        unit: 's',
        ...spread(twenty),
        peers: 'Harbor 96, Inspect 33, HUD 52',
      },
    ]
  },
}

async function rollcallRun(bench: Bench, attempts: number): Promise<number> {
  const { tasks, imageMap, environment, home } = bench
  const images = Object.entries(imageMap).flatMap(([from, to]) => ['--image-map', `${from}=${to}`])
  const numbers = ['-k', String(attempts), '-n', String(atOnce), '--job', benchJobId()]
  const args = ['run', tasks.trivial, '--provider', 'docker', '--agent', 'oracle', ...numbers, ...images]
  const tookMs = await timed(() =>
    execa(process.execPath, [rollcallCommand, ...args, '--jobs-dir', join(home, 'jobs')], {
      env: { ...environment.env },
      extendEnv: false,
      stdin: 'ignore',
    }),
  )
  await workersEnded(home)
  return tookMs
}
