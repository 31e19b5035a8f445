import { readPlan } from '../../results/read-job.ts'
import type { JobSummary } from '../../protocol/grade.ts'
import { RollcallProcess } from '../../cli/fixtures/rollcall-process.ts'
import { ChaosSite } from './chaos-site.ts'
import type { ChaosOptions } from './chaos-site.ts'
import { planFaults } from './fault-plan.ts'
import {
  brokenInRollout,
  brokenInSummary,
  brokenInWorkflows,
  lostCalls,
  readRecords,
  whatIsLeft,
} from './invariants.ts'
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
      end.storm = await new Storm(site, { job: jobs.storm, total }).rage(plan)
    })
    const report = await judge(site, { jobs, end: end.storm, times: { calmMs, stormMs } })
    isKept = report.broken.length > 0
    return report
  } finally {
    await site.close({ jobs: Object.values(jobs), keepFiles: isKept })
  }
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
  const byRollout = planned.map((name) => {
    const broken = brokenInRollout(calm.get(name), storm.get(name), damageTo(`${jobs.storm}.${name}`, injected))
    return { name, broken }
  })
  const { ended } = end ?? {}
  const general = [
    ...(ended === undefined ? ['the job is stuck'] : []),
    ...(ended !== undefined && ended.code !== 0
      ? [`the command ended with exit code ${ended.code}: ${ended.stderr}`]
      : []),
    ...brokenInSummary(summaryOf(ended?.stdout), planned),
    ...(ended === undefined ? [] : await brokenOnServer(site, { jobs, planned })),
    ...(ended === undefined
      ? []
      : (await whatIsLeft(site, Object.values(jobs), leaveWithinMs)).map((what) => `left: ${what}`)),
  ]
  return {
    seed: site.options.seed,
    rollouts: planned.length,
    injected,
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

function summaryOf(stdout: string | undefined): JobSummary | undefined {
  const last = stdout?.trimEnd().split('\n').at(-1)
  const parsed = last === undefined || last === '' ? undefined : (JSON.parse(last) as JobSummary)
  return parsed?.type === 'summary' ? parsed : undefined
}

/** Both jobs' workflows, and that every history replays. */
async function brokenOnServer(
  site: ChaosSite,
  { jobs, planned }: { jobs: { calm: string; storm: string }; planned: readonly string[] },
): Promise<string[]> {
  return await withServer(site.environment, async (server) => {
    const broken = await brokenInWorkflows(server, jobs.storm, planned)
    for (const run of await server.list(`WorkflowId = "${jobs.storm}" OR WorkflowId STARTS_WITH "${jobs.storm}."`)) {
      const wrong = await server.replay(run)
      if (wrong !== undefined) broken.push(wrong)
    }
    return broken
  })
}
