import { readPlan } from '../../results/read-job.ts'
import { RollcallProcess } from '../../cli/fixtures/rollcall-process.ts'
import { ChaosSite } from './chaos-site.ts'
import type { ChaosOptions } from './chaos-site.ts'
import { planFaults } from './fault-plan.ts'
import { brokenInRollout, brokenInOutput, brokenInWorkflows, lostCalls, readRecords, whatIsLeft } from './invariants.ts'
import type { Damage } from './invariants.ts'
import { countMilestones } from './milestones.ts'
import { withServer } from './replay.ts'
import { Storm } from './storm.ts'
import type { InjectedFault, StormEnd } from './storm.ts'

/** A worker that has just been told that its job is over sweeps, lets go and ends. */
const leaveWithinMs = 90_000

export interface ChaosReport {
  readonly seed: number
  readonly rollouts: number
  readonly injected: readonly InjectedFault[]
  /** Rollouts that were cancelled while they ran. */
  readonly cancelled: number
  /** Calls that were reported to the agent as lost. */
  readonly lostCalls: number
  readonly calmMs: number
  readonly stormMs: number
  readonly commandStarts: number
  readonly workerStarts: number
  /** Every broken invariant, one sentence each; empty when all hold. */
  readonly broken: readonly string[]
  /** Rollouts in which one was broken. */
  readonly brokenRollouts: readonly string[]
  /** Where everything lies that tells why. Removed when nothing is broken. */
  readonly evidence: string
}

/** Runs a taskset without faults and with them, and compares. Leaves nothing behind, unless an invariant is broken. */
export async function runChaos(options: ChaosOptions): Promise<ChaosReport> {
  const site = await ChaosSite.open(options)
  const suffix = site.run.slice(site.run.lastIndexOf('-') + 1)
  const jobs = { calm: `calm-${suffix}`, storm: `storm-${suffix}` }
  let isKept = true
  try {
    const calmMs = await timed(() => runCalm(site, jobs.calm))
    const total = await countMilestones(site.store, jobs.calm)
    const plan = planFaults({ seed: options.seed, count: options.faults, kinds: options.kinds })
    const end: { storm?: StormEnd } = {}
    const stormMs = await timed(async () => {
      end.storm = await new Storm(site, { job: jobs.storm, total, ...given(options) }).rage(plan)
    })
    const report = await judge(site, { jobs, end: end.storm, times: { calmMs, stormMs } })
    isKept = report.broken.length > 0
    return report
  } finally {
    await site.close({ jobs: Object.values(jobs), keepFiles: isKept })
  }
}

function given({ cancelAtShare }: ChaosOptions): { cancelAtShare?: number } {
  return cancelAtShare === undefined ? {} : { cancelAtShare }
}

async function timed(work: () => Promise<void>): Promise<number> {
  const startedAt = Date.now()
  await work()
  return Date.now() - startedAt
}

async function runCalm(site: ChaosSite, job: string): Promise<void> {
  const { code, stderr } = await new RollcallProcess(site.runArgs(job), site.environment.env).ended
  if (code !== 0) throw new Error(`the job without faults ended with exit code ${code}: ${stderr}`)
}

async function judge(
  site: ChaosSite,
  at: {
    jobs: { calm: string; storm: string }
    end: StormEnd | undefined
    times: { calmMs: number; stormMs: number }
  },
): Promise<ChaosReport> {
  const { jobs, end } = at
  const injected = end?.injected ?? []
  const [calm, storm] = [await readRecords(site.store, jobs.calm), await readRecords(site.store, jobs.storm)]
  const planned = ((await readPlan(site.store, jobs.calm)) ?? []).map(({ name }) => name)
  const { ended, leftAtEnd = [] } = end ?? {}
  const isCancelled = ended?.code === 130
  const byRollout = planned.map((name) => {
    const record = storm.get(name)
    if (isCancelled && (record === undefined || record.result.state === 'cancelled')) return { name, broken: [] }
    return { name, broken: brokenInRollout(calm.get(name), record, damageTo(`${jobs.storm}.${name}`, injected)) }
  })
  const general =
    ended === undefined
      ? ['the job is stuck']
      : [
          ...(ended.code === 0 || isCancelled
            ? []
            : [`the command ended with exit code ${ended.code}: ${ended.stderr}`]),
          ...leftAtEnd.map((name) => `the command said that the job is over when there was still ${name}`),
          ...brokenInOutput(ended.stdout, planned),
          ...(await brokenOnServer(site, { job: { id: jobs.storm, isCancelled }, planned })),
          ...(await whatIsLeft(site, Object.values(jobs), leaveWithinMs)).map((what) => `left: ${what}`),
        ]
  return {
    seed: site.options.seed,
    rollouts: planned.length,
    injected,
    cancelled: [...storm.values()].filter(({ result }) => result.state === 'cancelled').length,
    lostCalls: [...storm.values()].reduce((sum, record) => sum + lostCalls(record), 0),
    ...at.times,
    commandStarts: end?.commandStarts ?? 0,
    workerStarts: end?.workerStarts ?? 0,
    broken: [...general, ...byRollout.flatMap(({ name, broken }) => broken.map((what) => `${name}: ${what}`))],
    brokenRollouts: byRollout.filter(({ broken }) => broken.length > 0).map(({ name }) => `${jobs.storm}.${name}`),
    evidence: site.home,
  }
}

function damageTo(workflow: string, injected: readonly InjectedFault[]): Damage {
  const count = (kind: InjectedFault['kind']) =>
    injected.filter((fault) => fault.kind === kind && fault.rollout === workflow).length
  return { sandboxesKilled: count('sandbox-killed'), supervisorsKilled: count('supervisor-killed') }
}

/** The job's workflows, and that every history replays. */
async function brokenOnServer(
  site: ChaosSite,
  { job, planned }: { job: { id: string; isCancelled: boolean }; planned: readonly string[] },
): Promise<string[]> {
  return await withServer(site.environment, async (server) => {
    const broken = await brokenInWorkflows(server, job, planned)
    for (const run of await server.list(`WorkflowId = "${job.id}" OR WorkflowId STARTS_WITH "${job.id}."`)) {
      const wrong = await server.replay(run)
      if (wrong !== undefined) broken.push(wrong)
    }
    return broken
  })
}
