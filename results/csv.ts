import { stringify } from 'csv-stringify/sync'
import { failureKinds } from '../protocol/failure.ts'
import type { JobSummary, SummaryRollout } from '../protocol/grade.ts'
import { mainReward } from './summary.ts'
import { escapeControls } from './terminal-text.ts'

const columns = [
  'task',
  'agent',
  'attempt',
  'state',
  'reward',
  'integrity',
  'failure',
  'must_act',
  'message',
  'agent_end',
  'turns',
  'open_ms',
  'turns_ms',
  'grade_ms',
  'total_ms',
  'input_tokens',
  'cached_input_tokens',
  'output_tokens',
  'cost_usd',
  'task_checksum',
  'rewards',
  'id',
] as const

type Row = Record<(typeof columns)[number], string | number | undefined>

/** One line per rollout after a line of names, as RFC 4180 has it; what is not known is empty. */
export function formatCsv(summary: JobSummary): string {
  // A cell that begins like a formula would be run by a spreadsheet, and a control character by the terminal that it is
  // printed to: names and messages come from tasks and sandboxes.
  return stringify(summary.rollouts.map(rowOf), {
    header: true,
    columns: [...columns],
    escape_formulas: true,
    cast: { string: withoutControls },
  })
}

/** Lines stay lines. */
function withoutControls(text: string): string {
  return text.split('\n').map(escapeControls).join('\n')
}

function rowOf(rollout: SummaryRollout): Row {
  const { failure, rewards, timeMs = {}, usage = {} } = rollout
  return {
    task: rollout.task,
    agent: rollout.agent,
    attempt: rollout.attempt,
    state: rollout.state,
    reward: rewards && mainReward(rewards),
    integrity: rollout.integrity,
    failure: failure?.code,
    must_act: failure && failureKinds[failure.code].actor,
    message: failure?.message,
    agent_end: rollout.agentEnd,
    turns: rollout.turns,
    open_ms: timeMs.open,
    turns_ms: timeMs.turns,
    grade_ms: timeMs.grade,
    total_ms: timeMs.total,
    input_tokens: usage.inputTokens,
    cached_input_tokens: usage.cachedInputTokens,
    output_tokens: usage.outputTokens,
    cost_usd: usage.costUsd,
    task_checksum: rollout.taskChecksum,
    rewards: rewards && JSON.stringify(rewards),
    id: rollout.id,
  }
}
