import pLimit from 'p-limit'
import { rolloutId } from '../../protocol/names.ts'
import type { Bench } from '../bench.ts'
import { writeOneCallTurns } from '../bench-tasks.ts'
import type { Measure, Row } from '../measure.ts'
import { processUsage } from '../process-usage.ts'
import type { ProcessUsage } from '../process-usage.ts'
import { spread } from '../statistics.ts'
import { timedJob } from '../timed-job.ts'
import type { TimedJob } from '../timed-job.ts'
import { withWarmWorker } from '../warm-worker.ts'

const rollouts = 200
const turns = 20
const atOnce = 8
const historiesAtOnce = 8

/** What the engine itself costs: sandboxes are cheap, agents instant, so all of it is Rollcall and Temporal. */
export const manyTurns: Measure = {
  name: 'many-turns',
  describes: '200 rollouts of 20 turns on the fake provider: turns per second, events, memory and processor time',
  run: (bench) =>
    withWarmWorker(bench, async (workerPid) => {
      await scripted(bench, 2)
      const before = await usages(bench, workerPid)
      const job = await scripted(bench, rollouts)
      const after = await usages(bench, workerPid)
      const events = await eventCounts(bench, job)
      return [
        once(`turns, ${rollouts} rollouts of ${turns}, ${atOnce} at a time, fake`, '1/s', rate(job, rollouts * turns)),
        once('rollouts', '1/s', rate(job, rollouts)),
        { what: 'events in a rollout’s history', unit: 'events', ...spread(events.rollouts) },
        once('events in the job’s history per rollout', 'events', events.job / rollouts),
        ...costs('server', before.server, after.server),
        ...costs('worker', before.worker, after.worker),
      ]
    }),
}

async function scripted(bench: Bench, attempts: number): Promise<TimedJob> {
  return await timedJob(bench, bench.tasks.trivial, {
    provider: 'fake',
    agent: { agent: 'script', args: { file: await writeOneCallTurns(bench.home, turns) } },
    attempts,
    concurrency: atOnce,
  })
}

function once(what: string, unit: Row['unit'], value: number): Row {
  return { what, unit, p50: value, samples: 1 }
}

function rate({ tookMs }: TimedJob, count: number): number {
  return (count * 1000) / tookMs
}

async function usages({ serverPid }: Bench, workerPid: number) {
  const [server, worker] = await Promise.all([processUsage(serverPid), processUsage(workerPid)])
  return { server, worker }
}

function costs(name: string, before: ProcessUsage, after: ProcessUsage): Row[] {
  return [
    once(`${name}: processor time per rollout`, 'ms CPU', (after.cpuMs - before.cpuMs) / rollouts),
    once(`${name}: memory at the end`, 'MiB', after.residentMiB),
    once(`${name}: most memory`, 'MiB', after.peakMiB),
  ]
}

async function eventCounts({ temporal }: Bench, { job, results }: TimedJob) {
  const limit = pLimit(historiesAtOnce)
  const lengthOf = async (workflow: string) =>
    (await temporal.client.workflow.getHandle(workflow).describe()).historyLength
  const lengths = results.map(({ name }) => limit(() => lengthOf(rolloutId(job, name))))
  return { rollouts: await Promise.all(lengths), job: await lengthOf(job) }
}
