import { setCurrentDetails } from '@temporalio/workflow'
import { counted } from '../protocol/names.ts'
import type { JobWorkflowStatus, SegmentStatus, Tally } from './messages.ts'

/** The progress table that a person sees in the Temporal UI, as Markdown. */
export function showProgress(status: JobWorkflowStatus, verdict?: string): void {
  const progress = status.shards.length === 0 ? wholeJob(status) : shardedJob(status)
  setCurrentDetails([...progress, ...(verdict === undefined ? [] : ['', verdict])].join('\n'))
}

/** The same of one shard of a large job. */
export function showShard({ tally, running }: SegmentStatus, total: number): void {
  const shown = [
    `${endedOf(tally)} of ${counted(total, 'rollout')} ended`,
    '',
    ...table({ running: running.length }, tally),
  ]
  setCurrentDetails(shown.join('\n'))
}

function wholeJob({ state, total, concurrency, running, tally }: JobWorkflowStatus): string[] {
  return [
    `**${state}**, ${endedOf(tally)} of ${counted(total, 'rollout')} ended`,
    '',
    ...table({ running: running.length, concurrency }, tally),
  ]
}

/** The job counts a shard's rollouts when the shard ends: what they do until then only the shard knows. */
function shardedJob({ state, total, concurrency, tally, shards }: JobWorkflowStatus): string[] {
  const working = shards.filter(({ ended }) => !ended).map(({ workflowId }) => `\`${workflowId}\``)
  return [
    `**${state}**, ${counted(total, 'rollout')} in shards`,
    '',
    `now at work: ${working.length === 0 ? 'none' : working.join(', ')}; each shows the progress of its own rollouts`,
    '',
    `of the ${shards.length - working.length} that have ended:`,
    '',
    ...table({ concurrency }, tally),
  ]
}

/** @param first columns before the counts of those that have ended */
function table(first: Readonly<Record<string, number>>, { graded, failed, cancelled, rewardSum }: Tally): string[] {
  const mean = graded === 0 ? '–' : (rewardSum / graded).toFixed(3)
  const columns = { ...first, graded, failed, cancelled, 'mean reward': mean }
  return [row(Object.keys(columns)), row(Object.keys(columns).map(() => '---')), row(Object.values(columns))]
}

function row(cells: readonly (string | number)[]): string {
  return `| ${cells.join(' | ')} |`
}

function endedOf({ graded, failed, cancelled }: Tally): number {
  return graded + failed + cancelled
}
