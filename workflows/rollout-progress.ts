import { setCurrentDetails, upsertMemo, uuid4 } from '@temporalio/workflow'
import type { OpenedRollout } from '../protocol/activities.ts'
import type { AgentEnd, PhaseTimes } from '../protocol/grade.ts'
import type { RolloutPhase } from '../protocol/names.ts'
import type { Placements } from './places.ts'

/** Everything a rollout's workflow must remember; survives continue-as-new. */
export interface Progress {
  readonly owner: string
  readonly startedAt: string
  incarnation: number
  /** The latest phase in use: 0 is open, 1 the turns, then one for each grading attempt. */
  phase: number
  turn: number
  gradingAttempts: number
  /** Only with several hosts. */
  placements?: Placements
  /** Opening ended without an answer: its sandbox may still appear. */
  openIsUnknown?: boolean
  opened?: OpenedRollout
  /** How much of the agent's time its turns have taken, in milliseconds. */
  tookMs?: number
  agentEnd?: AgentEnd
  phases: PhaseTimes
}

/** At the beginning of a rollout; its owner nonce is made here, once. */
export function newProgress({ isPlaced }: { isPlaced: boolean }): Progress {
  return {
    ...(isPlaced ? { placements: {} } : {}),
    owner: uuid4(),
    startedAt: now(),
    incarnation: 1,
    phase: 0,
    turn: 0,
    gradingAttempts: 0,
    phases: {},
  }
}

/** A new sandbox means a new beginning; what happened in the earlier ones stays in the store. */
export function beginIncarnation(progress: Progress): void {
  progress.incarnation += 1
  // The sweep reads it from the server, also where no worker answers for this workflow.
  upsertMemo({ incarnation: progress.incarnation })
  progress.phase = 0
  progress.turn = 0
  delete progress.openIsUnknown
  delete progress.opened
  delete progress.tookMs
  delete progress.agentEnd
}

/** Notes when a phase began and ended; one that goes on later keeps its beginning. */
export async function timed<Result>(
  progress: Progress,
  phase: keyof PhaseTimes,
  work: () => Promise<Result>,
): Promise<Result> {
  const startedAt = progress.phases[phase]?.startedAt ?? now()
  try {
    return await work()
  } finally {
    progress.phases = { ...progress.phases, [phase]: { startedAt, finishedAt: now() } }
  }
}

/** What a person sees of the rollout in the Temporal UI, as Markdown. */
export function showRollout(progress: Progress, phase: RolloutPhase, notes: readonly string[] = []): void {
  const { incarnation, opened, turn, gradingAttempts } = progress
  const rows = [
    `phase: **${phase}**`,
    `turn: ${turn}`,
    `sandbox: ${opened?.lease.sandbox ?? 'none yet'} (incarnation ${incarnation})`,
    `grading attempts: ${gradingAttempts}`,
    ...notes,
  ]
  setCurrentDetails(rows.join('\n\n'))
}

function now(): string {
  return new Date().toISOString()
}
