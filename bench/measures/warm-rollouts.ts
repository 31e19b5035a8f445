import type { Measure } from '../measure.ts'
import type { Bench } from '../bench.ts'
import { spread } from '../statistics.ts'
import { phaseMs, timedJob } from '../timed-job.ts'
import { withWarmWorker } from '../warm-worker.ts'

const many = 20
const atOnce = 4
const perSecond = 1000

export const warmRollouts: Measure = {
  name: 'warm-rollouts',
  describes: 'one trivial oracle rollout, and 20 of them 4 at a time, on a warm worker: job start to job result',
  run: (bench) =>
    withWarmWorker(bench, async () => {
      await oracle(bench, bench.tasks.trivial, 2)
      await oracle(bench, bench.tasks.trivialWithNetwork, 2)
      const [single, networked, twenty]: [number[], number[], number[]] = [[], [], []]
      const phases: Record<'open' | 'turns' | 'grade', number[]> = { open: [], turns: [], grade: [] }
      for (let run = 0; run < bench.runs; run += 1) {
        const { tookMs, results } = await oracle(bench, bench.tasks.trivial, 1)
        single.push(tookMs / perSecond)
        networked.push((await oracle(bench, bench.tasks.trivialWithNetwork, 1)).tookMs / perSecond)
        for (const phase of ['open', 'turns', 'grade'] as const) {
          phases[phase].push(...results.map((result) => phaseMs(result, phase)))
        }
      }
      for (let run = 0; run < Math.min(bench.runs, 5); run += 1) {
        twenty.push((await oracle(bench, bench.tasks.trivial, many)).tookMs / perSecond)
      }
      return [
        { what: 'one trivial rollout, Docker, warm worker', unit: 's', ...spread(single), goal: { atMost: 0.5 } },
        { what: 'of which open', unit: 'ms', ...spread(phases.open) },
        { what: 'of which turns', unit: 'ms', ...spread(phases.turns) },
        { what: 'of which grade', unit: 'ms', ...spread(phases.grade) },
        { what: 'the same with a public network', unit: 's', ...spread(networked) },
        {
          what: `${many} trivial rollouts, ${atOnce} at a time, Docker, warm worker`,
          unit: 's',
          ...spread(twenty),
          goal: { atMost: 5 },
          peers: 'Harbor 96, Inspect 33, HUD 52',
        },
      ]
    }),
}

function oracle(bench: Bench, taskset: string, attempts: number) {
  return timedJob(bench, taskset, { provider: 'docker', agent: 'oracle', attempts, concurrency: atOnce })
}
