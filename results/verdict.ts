import type { AgentSpec } from '../agents/agent.ts'
import { counted } from '../protocol/names.ts'
import type { ScheduleConfig, ScheduleVerdict, TaskChange, Verdict } from '../protocol/schedule.ts'
import type { ComparedJob } from './compared-job.ts'
import { compareJobs } from './comparison.ts'
import type { ComparedTask } from './comparison.ts'
import { formatP } from './paired-difference.ts'
import type { PairedDifference } from './paired-difference.ts'
import { meanOf } from './statistics.ts'
import { formatReward } from './summary.ts'

/** One of the two jobs of a verdict. */
export interface JudgedJob extends ComparedJob {
  readonly agentKinds: readonly AgentSpec['kind'][]
}

type GivenVerdict = Omit<ScheduleVerdict, 'version' | 'schedule' | 'scheduledAt' | 'judgedAt'>

/** A difference with a smaller p value is not chance. */
const significance = 0.05

/** Sums of rewards differ in their last bits. */
const leastDifference = 1e-9

/** Agents that decide nothing by chance: where they do otherwise than before, something has changed. */
const steadyAgents: readonly AgentSpec['kind'][] = ['oracle', 'nop', 'script']

/**
 * What a job came to beside its baseline, task by task as `rollcall compare` does. Failures never make a job worse: too
 * many make it not comparable.
 */
export function giveVerdict(at: {
  config: Pick<ScheduleConfig, 'maxFailedShare' | 'failUnder'>
  now: JudgedJob
  baseline?: JudgedJob
  /** Why the job as a whole came to nothing. */
  failure?: string
}): GivenVerdict {
  const { config, now, baseline, failure } = at
  const unusable = failure ?? tooFew(now, config)
  const compared = unusable === undefined ? compare({ now, baseline, config }) : notComparable(unusable)
  const rewards = now.rollouts.flatMap(({ reward }) => reward ?? [])
  const mean = meanOf(rewards)
  return {
    job: now.name,
    ...compared,
    isBaseline: unusable === undefined && compared.verdict !== 'worse',
    belowThreshold: config.failUnder !== undefined && mean !== undefined && mean < config.failUnder,
    ...(baseline === undefined ? {} : { baseline: baseline.name }),
    ...(mean === undefined ? {} : { mean }),
    graded: rewards.length,
    failed: now.rollouts.filter(({ failure: one }) => one !== undefined && one.code !== 'cancelled').length,
  }
}

type Compared = Pick<ScheduleVerdict, 'verdict' | 'reason' | 'tasks' | 'difference'>

function notComparable(reason: string, tasks: readonly TaskChange[] = []): Compared {
  return { verdict: 'not-comparable', reason, tasks }
}

function compare(at: {
  now: JudgedJob
  baseline: JudgedJob | undefined
  config: Pick<ScheduleConfig, 'maxFailedShare'>
}): Compared {
  const { now, baseline, config } = at
  if (baseline === undefined) return notComparable('There is no earlier job to compare with.')
  const unusable = baseline.finished ? tooFew(baseline, config) : 'it has not come to its end.'
  if (unusable !== undefined) return notComparable(`The baseline ${baseline.name} cannot be used: ${unusable}`)
  const { tasks, difference } = compareJobs(baseline, now)
  const changes = tasks.flatMap(taskChange)
  if (difference === undefined) {
    return notComparable('The two jobs have graded no task that is the same in both.', changes)
  }
  const isSteady = [now, baseline].every(({ agentKinds }) => agentKinds.every((kind) => steadyAgents.includes(kind)))
  return {
    verdict: verdictOf(difference, isSteady),
    reason: reasonOf(difference, isSteady),
    tasks: changes,
    difference,
  }
}

/** Why so little was graded that nothing can be said. */
function tooFew(
  { rollouts }: ComparedJob,
  { maxFailedShare }: Pick<ScheduleConfig, 'maxFailedShare'>,
): string | undefined {
  if (rollouts.length === 0) return 'No rollout has ended.'
  const lost = rollouts.filter(({ reward }) => reward === undefined).length
  if (lost / rollouts.length <= maxFailedShare && lost < rollouts.length) return undefined
  const most = `${(100 * maxFailedShare).toFixed(0)} %`
  const ungraded = `${lost} of ${counted(rollouts.length, 'rollout')} were not graded${causesOf(rollouts)}`
  return `${ungraded}, and at most ${most} may be missing.`
}

/** By code, the most frequent first, and who must act. */
function causesOf(rollouts: ComparedJob['rollouts']): string {
  const failures = rollouts.flatMap(({ failure }) => failure ?? [])
  const groups = [...Map.groupBy(failures, ({ code }) => code)].toSorted(([, a], [, b]) => b.length - a.length)
  const causes = groups.map(([code, own]) => `${own.length} × ${code}: ${own[0]?.actor ?? 'unknown'} must act`)
  return causes.length === 0 ? '' : ` (${causes.join('; ')})`
}

function verdictOf({ mean, p }: PairedDifference, isSteady: boolean): Verdict {
  if (isNothing(mean) || (p >= significance && !isSteady)) return 'same'
  return mean > 0 ? 'better' : 'worse'
}

function reasonOf({ mean, p, tasks }: PairedDifference, isSteady: boolean): string {
  if (isNothing(mean)) return `No difference over ${counted(tasks, 'task')}.`
  const by = `${mean > 0 ? '+' : '−'}${Math.abs(mean).toFixed(3)} over ${counted(tasks, 'task')}`
  const certainty = isSteady ? 'by agents that decide nothing by chance' : formatP(p, 3)
  return `${by} (${certainty}).`
}

function isNothing(difference: number): boolean {
  return Math.abs(difference) < leastDifference
}

/** A task that did otherwise than before. Of one that a side has not graded nothing can be said. */
function taskChange({ task, agent, change, before, now }: ComparedTask): TaskChange[] {
  if (change === 'same' || change === 'not-graded') return []
  const means = { ...(before === undefined ? {} : { before }), ...(now === undefined ? {} : { now }) }
  return [{ task: agent === undefined ? task : `${task} (${agent})`, change, ...means }]
}

/** For the Temporal UI: one sentence, then the tasks that changed, as Markdown. */
export function describeVerdict(verdict: ScheduleVerdict): string {
  const against = verdict.baseline === undefined ? '' : ` than ${verdict.baseline}`
  const headline = verdict.verdict === 'better' || verdict.verdict === 'worse' ? against : ''
  const threshold = verdict.belowThreshold ? ' Its mean is below the schedule’s threshold.' : ''
  const rows = verdict.tasks.map(
    ({ task, change, before, now }) => `| ${task} | ${change} | ${formatReward(before)} | ${formatReward(now)} |`,
  )
  const table = rows.length === 0 ? [] : ['', '| task | change | before | now |', '|---|---|---|---|', ...rows]
  return [`**${verdict.verdict}**${headline}: ${verdict.reason}${threshold}`, ...table].join('\n')
}
