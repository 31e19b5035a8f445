import type { Measure } from '../measure.ts'
import type { Bench } from '../bench.ts'
import { spread } from '../statistics.ts'
import { phaseMs, timedJob } from '../timed-job.ts'
import { withWarmWorker } from '../warm-worker.ts'

const many = 20
const atOnce = 4
const perSecond = 1000
/** The worker of the job's own has warmed up with these. */
const firstOnes = 2

export const warmRollouts: Measure = {
  name: 'warm-rollouts',
  describes: 'one trivial oracle rollout, and 20 of them 4 at a time, on a warm worker',
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
      const following = await oneAfterAnother(bench)
      return [
        {
          what: 'one trivial rollout after another in one job, on its own worker, Docker',
          unit: 's',
          ...spread(following),
          goal: { atMost: 0.5 },
        },
        {
          what: 'one trivial rollout as a job on a warm shared worker, Docker: job start to job result',
          unit: 's',
          ...spread(single),
          goal: { atMost: 0.5 },
        },
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

/** From one rollout's start to the next one's, in seconds: all of it, release included, but not the job around it. */
async function oneAfterAnother(bench: Bench): Promise<number[]> {
  const { results } = await timedJob(bench, bench.tasks.trivial, {
    provider: 'docker',
    agent: 'oracle',
    attempts: firstOnes + bench.runs + 1,
    concurrency: 1,
    worker: 'own',
  })
  const starts = results.map(({ startedAt }) => Date.parse(startedAt)).toSorted((a, b) => a - b)
  const gaps = starts.slice(1).map((start, index) => (start - (starts[index] ?? start)) / perSecond)
  return gaps.slice(firstOnes)
}

function oracle(bench: Bench, taskset: string, attempts: number) {
  return timedJob(bench, taskset, { provider: 'docker', agent: 'oracle', attempts, concurrency: atOnce })
}
