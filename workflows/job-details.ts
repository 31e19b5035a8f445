import { setCurrentDetails } from '@temporalio/workflow'
import { counted } from '../protocol/names.ts'
import type { JobWorkflowStatus } from './messages.ts'

/** The progress table that a person sees in the Temporal UI, as Markdown. */
export function showProgress(status: JobWorkflowStatus, verdict?: string): void {
  const { graded, failed, cancelled, rewardSum } = status.tally
  const mean = graded === 0 ? '–' : (rewardSum / graded).toFixed(3)
  setCurrentDetails(
    [
      `**${status.state}**, ${graded + failed + cancelled} of ${counted(status.total, 'rollout')} ended`,
      '',
      '| running | graded | failed | cancelled | mean reward | concurrency |',
      '|---|---|---|---|---|---|',
      `| ${status.running.length} | ${graded} | ${failed} | ${cancelled} | ${mean} | ${status.concurrency} |`,
      ...(status.shards.length === 0 ? [] : ['', `shards: ${status.shards.length} begun; each shows its own rollouts`]),
      ...(verdict === undefined ? [] : ['', verdict]),
    ].join('\n'),
  )
}
