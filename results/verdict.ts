import type { RolloutResult } from '../protocol/grade.ts'
import { counted } from '../protocol/names.ts'
import type { ScheduleConfig, ScheduleVerdict, TaskChange, Verdict } from '../protocol/schedule.ts'
import { pairedDifference } from './paired-difference.ts'
import type { PairedDifference } from './paired-difference.ts'
import { formatReward, meanReward } from './summary.ts'

export interface JudgedJob {
  readonly job: string
  readonly results: readonly RolloutResult[]
}

type Judgement = Omit<ScheduleVerdict, 'version' | 'schedule' | 'scheduledAt' | 'judgedAt'>

/** A difference with a smaller p value is not chance. */
const significance = 0.05

/** Agents that decide nothing by chance: where they do otherwise than before, something has changed. */
const steadyAgents: readonly string[] = ['oracle', 'nop', 'script']

/**
 * What a job came to beside its baseline. Only tasks that are the same in both and graded in both are compared, by the
 * means of their attempts, paired. Failures never make a job worse: too many make it not comparable.
 */
export function judge(at: {
  config: Pick<ScheduleConfig, 'maxFailedShare' | 'failUnder' | 'options'>
  now: JudgedJob
  baseline?: JudgedJob
  /** Why the job as a whole came to nothing. */
  failure?: string
}): Judgement {
  const { config, now, baseline, failure } = at
  const mean = meanReward(now.results)
  const graded = now.results.filter(({ state }) => state === 'graded').length
  const unusable = failure ?? tooFew(now, config.maxFailedShare)
  const compared = unusable === undefined ? compare({ now, baseline, config }) : notComparable(unusable)
  return {
    job: now.job,
    ...compared,
    isBaseline: unusable === undefined && compared.verdict !== 'worse',
    belowThreshold: config.failUnder !== undefined && mean !== undefined && mean < config.failUnder,
    ...(baseline === undefined ? {} : { baseline: baseline.job }),
    ...(mean === undefined ? {} : { mean }),
    graded,
    failed: now.results.filter(({ state }) => state === 'failed').length,
  }
}

type Compared = Pick<ScheduleVerdict, 'verdict' | 'reason' | 'tasks' | 'difference'>

function notComparable(reason: string, tasks: readonly TaskChange[] = []): Compared {
  return { verdict: 'not-comparable', reason, tasks }
}

function compare(at: {
  now: JudgedJob
  baseline: JudgedJob | undefined
  config: Pick<ScheduleConfig, 'maxFailedShare' | 'options'>
}): Compared {
  const { now, baseline, config } = at
  if (baseline === undefined) return notComparable('There is no earlier job to compare with.')
  const unusable = tooFew(baseline, config.maxFailedShare)
  if (unusable !== undefined) return notComparable(`The baseline ${baseline.job} cannot be used: ${unusable}`)
  const sides = sidesOf(baseline.results, now.results)
  const changes = taskChanges(sides)
  const difference = pairedDifference(comparablePairs(sides))
  if (difference === undefined) {
    return notComparable('The two jobs have graded no task that is the same in both.', changes)
  }
  const isSteady = config.options.agents.every(({ kind }) => steadyAgents.includes(kind))
  return {
    verdict: verdictOf(difference, isSteady),
    reason: reasonOf(difference, isSteady),
    tasks: changes,
    difference,
  }
}

/** Why so little was graded that nothing can be said. */
function tooFew({ results }: JudgedJob, maxFailedShare: number): string | undefined {
  if (results.length === 0) return 'No rollout has ended.'
  const lost = results.filter(({ state }) => state !== 'graded').length
  if (lost / results.length <= maxFailedShare && lost < results.length) return undefined
  const most = `${(100 * maxFailedShare).toFixed(0)} %`
  return `${lost} of ${counted(results.length, 'rollout')} were not graded, and at most ${most} may be missing.`
}

function verdictOf({ mean, p }: PairedDifference, isSteady: boolean): Verdict {
  if (mean === 0 || (p >= significance && !isSteady)) return 'same'
  return mean > 0 ? 'better' : 'worse'
}

function reasonOf({ mean, p, tasks }: PairedDifference, isSteady: boolean): string {
  const by = `${mean >= 0 ? '+' : '−'}${Math.abs(mean).toFixed(3)} over ${counted(tasks, 'task')}`
  const certainty = isSteady ? 'by agents that decide nothing by chance' : `p = ${p.toFixed(3)}`
  return mean === 0 ? `No difference over ${counted(tasks, 'task')}.` : `${by} (${certainty}).`
}

interface TaskMean {
  readonly checksum: string
  readonly mean: number | undefined
}

interface Sides {
  readonly earlier: ReadonlyMap<string, TaskMean>
  readonly later: ReadonlyMap<string, TaskMean>
}

/** By task, and by agent as well where one of the jobs has several, so that each is compared with itself. */
function sidesOf(before: readonly RolloutResult[], now: readonly RolloutResult[]): Sides {
  const several = [before, now].some((results) => new Set(results.map(({ agent }) => agent)).size > 1)
  return { earlier: byTask(before, several), later: byTask(now, several) }
}

function byTask(results: readonly RolloutResult[], several: boolean): Map<string, TaskMean> {
  const groups = Map.groupBy(results, ({ task, agent }) => (several ? `${task} (${agent})` : task))
  return new Map(
    [...groups].map(([task, rollouts]) => [
      task,
      { checksum: rollouts[0]?.taskChecksum ?? '', mean: meanReward(rollouts) },
    ]),
  )
}

function comparablePairs({ earlier, later }: Sides) {
  return [...later].flatMap(([task, { checksum, mean }]) => {
    const then = earlier.get(task)
    if (then?.checksum !== checksum || then.mean === undefined || mean === undefined) return []
    return [{ before: then.mean, now: mean }]
  })
}

const order: Readonly<Record<TaskChange['change'], number>> = { worse: 0, better: 1, changed: 2, added: 3, removed: 4 }

/** Tasks that did otherwise than before, the worse ones first. */
function taskChanges({ earlier, later }: Sides): TaskChange[] {
  const changes = [...new Set([...earlier.keys(), ...later.keys()])].flatMap((task) => {
    const change = changeOf(earlier.get(task), later.get(task))
    if (change === undefined) return []
    const [then, mean] = [earlier.get(task)?.mean, later.get(task)?.mean]
    return [
      { task, change, ...(then === undefined ? {} : { before: then }), ...(mean === undefined ? {} : { now: mean }) },
    ]
  })
  return changes.toSorted((a, b) => order[a.change] - order[b.change] || a.task.localeCompare(b.task))
}

function changeOf(before: TaskMean | undefined, now: TaskMean | undefined): TaskChange['change'] | undefined {
  if (before === undefined) return 'added'
  if (now === undefined) return 'removed'
  if (before.checksum !== now.checksum) return 'changed'
  if (before.mean === undefined || now.mean === undefined || before.mean === now.mean) return undefined
  return now.mean < before.mean ? 'worse' : 'better'
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
