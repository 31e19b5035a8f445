import { failureKinds } from '../protocol/failure.ts'
import { integrityClasses } from '../protocol/grade.ts'
import type { Rewards, SummaryRollout } from '../protocol/grade.ts'
import { rolloutName } from '../protocol/names.ts'
import type { FailureGroup, GroupStatistics, JobStatistics, PhaseMs, UsageTotals } from '../protocol/statistics.ts'
import { passAtK, passHatK, passRates } from './pass-rates.ts'
import type { Tally } from './pass-rates.ts'
import { clusteredMean, meanOf, medianOf, sumOf } from './statistics.ts'

/** A rollout has passed when its main reward is at least this. */
export const defaultPassReward = 1

export interface StatisticsOptions {
  /** By task. Default: no task has any. */
  readonly tags?: Readonly<Record<string, readonly string[]>> | undefined
  /** Default 1. */
  readonly passReward?: number | undefined
}

/**
 * The one number that stands for a rollout's rewards in means and tables: the reward named `reward`, else the only one,
 * else the mean of all. Undefined when there is none.
 */
export function mainReward(rewards: Rewards): number | undefined {
  return rewards['reward'] ?? meanOf(Object.values(rewards))
}

/** All numbers of a job from its rollouts alone; the definitions are in docs/results.md. */
export function jobStatistics(rollouts: readonly SummaryRollout[], options: StatisticsOptions = {}): JobStatistics {
  const { tags = {}, passReward = defaultPassReward } = options
  const group = (some: readonly SummaryRollout[]) => groupStatistics(some, passReward)
  const byAgent = Map.groupBy(rollouts, ({ agent }) => agent)
  const byTask = Map.groupBy(rollouts, ({ task, agent }) => JSON.stringify([task, agent]))
  return {
    passReward,
    total: group(rollouts),
    byTask: [...byTask.values()].map((some) => ({ ...labels(some), ...group(some) })),
    byAgent: [...byAgent].map(([agent, some]) => ({ agent, ...group(some) })),
    byTag: allTags(rollouts, tags).flatMap((tag) =>
      [...byAgent].flatMap(([agent, own]) => {
        const tagged = own.filter(({ task }) => tags[task]?.includes(tag))
        return tagged.length === 0 ? [] : [{ tag, agent, ...group(tagged) }]
      }),
    ),
    failures: failureGroups(rollouts),
  }
}

function labels(rollouts: readonly SummaryRollout[]): { task: string; agent: string } {
  const { task = '', agent = '' } = rollouts[0] ?? {}
  return { task, agent }
}

function allTags(rollouts: readonly SummaryRollout[], tags: Readonly<Record<string, readonly string[]>>): string[] {
  return [...new Set(rollouts.flatMap(({ task }) => tags[task] ?? []))].toSorted()
}

/** The numbers of any set of rollouts. */
function groupStatistics(rollouts: readonly SummaryRollout[], passReward: number): GroupStatistics {
  const count = (state: SummaryRollout['state']) => rollouts.filter((rollout) => rollout.state === state).length
  const graded = rollouts.flatMap(gradedRollout)
  const rewards = graded.map(({ reward }) => reward)
  const clusters = [...Map.groupBy(graded, ({ task }) => task).values()].map((own) => own.map(({ reward }) => reward))
  const median = medianOf(rewards)
  const tallies = talliesOf(graded, passReward)
  const usage = usageTotals(rollouts)
  return {
    rollouts: rollouts.length,
    graded: count('graded'),
    failed: count('failed'),
    cancelled: count('cancelled'),
    tasks: clusters.length,
    ...clusteredMean(clusters),
    ...(median === undefined ? {} : { median }),
    passed: rewards.filter((reward) => reward >= passReward).length,
    passAtK: passRates(tallies, passAtK),
    passHatK: passRates(tallies, passHatK),
    integrity: integrityCounts(rollouts),
    timeMs: phaseSums(rollouts),
    ...(usage === undefined ? {} : { usage }),
  }
}

interface GradedRollout {
  readonly task: string
  readonly agent: string
  readonly reward: number
}

function gradedRollout({ state, task, agent, rewards }: SummaryRollout): GradedRollout[] {
  const reward = state === 'graded' && rewards !== undefined ? mainReward(rewards) : undefined
  return reward === undefined ? [] : [{ task, agent, reward }]
}

/** pass@k and pass^k are of one agent at one task. */
function talliesOf(graded: readonly GradedRollout[], passReward: number): Tally[] {
  return [...Map.groupBy(graded, ({ task, agent }) => JSON.stringify([task, agent])).values()].map((own) => ({
    graded: own.length,
    passed: own.filter(({ reward }) => reward >= passReward).length,
  }))
}

function integrityCounts(rollouts: readonly SummaryRollout[]): GroupStatistics['integrity'] {
  const counts = integrityClasses.map((name) => [name, rollouts.filter(({ integrity }) => integrity === name).length])
  return Object.fromEntries(counts.filter(([, count]) => count !== 0))
}

function phaseSums(rollouts: readonly SummaryRollout[]): PhaseMs {
  return sumsOf(
    ['open', 'turns', 'grade', 'total'],
    rollouts.map(({ timeMs }) => timeMs ?? {}),
  )
}

function usageTotals(rollouts: readonly SummaryRollout[]): UsageTotals | undefined {
  const reported = rollouts.map(({ usage = {} }) => usage).filter((usage) => Object.keys(usage).length > 0)
  if (reported.length === 0) return undefined
  const names = ['inputTokens', 'outputTokens', 'cachedInputTokens', 'unrecordedCalls', 'costUsd'] as const
  return { ...sumsOf(names, reported), rollouts: reported.length }
}

/** The sum of each field over the records that have it; a field that none has is absent. */
function sumsOf<Name extends string>(
  names: readonly Name[],
  records: readonly Readonly<Partial<Record<Name, number>>>[],
): Partial<Record<Name, number>> {
  const sums: Partial<Record<Name, number>> = {}
  for (const name of names) {
    const values = records.flatMap((record) => record[name] ?? [])
    if (values.length > 0) sums[name] = sumOf(values)
  }
  return sums
}

/** Failed rollouts by what made them fail, the most frequent first. */
export function failureGroups(rollouts: readonly SummaryRollout[]): FailureGroup[] {
  const failed = rollouts.filter(({ state }) => state === 'failed')
  const groups = Map.groupBy(failed, ({ failure }) => failure?.code ?? 'internal')
  return [...groups]
    .map(([code, own]) => ({
      code,
      actor: failureKinds[code].actor,
      count: own.length,
      rollouts: own.map(rolloutName),
    }))
    .toSorted((a, b) => b.count - a.count || a.code.localeCompare(b.code))
}
