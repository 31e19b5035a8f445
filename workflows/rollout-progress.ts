import { setCurrentDetails, upsertMemo, uuid4 } from '@temporalio/workflow'
import type { OpenedRollout, VerifierPlace } from '../protocol/activities.ts'
import type { AgentEnd, PhaseTimes, StepResult } from '../protocol/grade.ts'
import type { RolloutPhase } from '../protocol/names.ts'
import type { Placements } from './places.ts'

/** Everything a rollout's workflow must remember; survives continue-as-new. */
export interface Progress {
  readonly owner: string
  readonly startedAt: string
  incarnation: number
  /**
   * The latest phase in use: 0 is open, 1 the turns, then one for each grading attempt, before which a separate
   * verifier's artifacts are collected. Each step of a task has a phase for its preparation, its turns, its artifacts and
   * each of its grading attempts.
   */
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
  /** Where the latest part's artifacts were collected; until then they are still in the sandbox. */
  collectedPhase?: number
  /** Steps of the task that were begun in this incarnation, the latest last. */
  steps?: StepResult[]
  /** How far the latest step has come. */
  stepState?: 'prepare' | 'turns'
  /** Sandboxes of separate verifiers that may still be there. */
  verifiers?: VerifierPlace[]
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
  delete progress.collectedPhase
  delete progress.steps
  delete progress.stepState
}

/** Notes when a phase began and ended; one that goes on later keeps its beginning. */
export async function timed<Result>(
  progress: Progress,
  phase: keyof PhaseTimes,
  work: () => Promise<Result>,
): Promise<Result> {
  const began = now()
  try {
    return await work()
  } finally {
    const finishedAt = now()
    const times = (phases: PhaseTimes) => ({
      ...phases,
      [phase]: { startedAt: phases[phase]?.startedAt ?? began, finishedAt },
    })
    progress.phases = times(progress.phases)
    updateStep(progress, (step) => (phase === 'open' ? {} : { phases: times(step.phases) }))
  }
}

/** Changes what is known of the step at work, where the task has steps. */
export function updateStep(progress: Progress, change: (step: StepResult) => Partial<StepResult>): void {
  const step = progress.steps?.at(-1)
  if (step === undefined) return
  progress.steps = [...(progress.steps ?? []).slice(0, -1), { ...step, ...change(step), lastPhase: progress.phase }]
}

/** The next step: all that belonged to the one before it is over. */
export function beginStep(progress: Progress, name: string): void {
  progress.phase += 1
  progress.turn = 0
  delete progress.tookMs
  delete progress.agentEnd
  delete progress.collectedPhase
  const step = { name, gradingAttempts: 0, phases: {}, firstPhase: progress.phase, lastPhase: progress.phase }
  progress.steps = [...(progress.steps ?? []), step]
  progress.stepState = 'prepare'
}

/** What a person sees of the rollout in the Temporal UI, as Markdown. */
export function showRollout(progress: Progress, phase: RolloutPhase, notes: readonly string[] = []): void {
  const { incarnation, opened, turn, gradingAttempts, steps } = progress
  const step = steps === undefined ? [] : [`step: ${steps.length} of ${opened?.steps?.length}, ${steps.at(-1)?.name}`]
  const rows = [
    `phase: **${phase}**`,
    ...step,
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
