import {
  CancellationScope,
  continueAsNew,
  patched,
  setCurrentDetails,
  uuid4,
  upsertMemo,
  upsertSearchAttributes,
  workflowInfo,
} from '@temporalio/workflow'
import type { GradeResult, Lease, OpenedRollout, RolloutOutcome, RolloutPolicy } from '../protocol/activities.ts'
import type { Failure } from '../protocol/failure.ts'
import { isGradingFailure } from '../protocol/failure.ts'
import type { AgentEnd, PhaseTimes } from '../protocol/grade.ts'
import type { RolloutPhase } from '../protocol/names.ts'
import { callActivity, untilKept } from './activity-stubs.ts'
import { failureOf } from './failure-of.ts'
import { attributesAtEnd } from './search-attributes.ts'
import { activityOptions, timing } from './timing.ts'

export interface RolloutInput {
  readonly job: string
  readonly storeUrl: string
  /** `<task>.<agent label>.<attempt>` */
  readonly rollout: string
  readonly policy: RolloutPolicy
  /** Whether the namespace knows Rollcall's search attributes. */
  readonly searchable: boolean
  /** Only after continue-as-new. */
  readonly progress?: Progress
}

/** Everything the workflow must remember; survives continue-as-new. */
interface Progress {
  readonly owner: string
  readonly startedAt: string
  incarnation: number
  /** The latest phase in use: 0 is open, 1 the turns, then one for each grading attempt. */
  phase: number
  turn: number
  gradingAttempts: number
  opened?: OpenedRollout
  deadline?: number
  agentEnd?: AgentEnd
  phases: PhaseTimes
}

type Ending =
  | { readonly state: 'graded'; readonly grade: GradeResult }
  | { readonly state: 'failed' | 'cancelled'; readonly failure: Failure }

/**
 * One attempt by one agent at one task: open → turns → grade → record → release. A lost sandbox ends the incarnation,
 * not the rollout. Release covers every incarnation that may have been opened, and runs also when cancelled.
 */
export async function rolloutWorkflow(input: RolloutInput): Promise<RolloutOutcome> {
  const progress = input.progress ?? newProgress()
  const rollout = new Rollout(input, progress)
  const ending = await rollout.workUntilEnded()
  if (ending === 'continue') return await continueAsNew<typeof rolloutWorkflow>({ ...input, progress })
  return await CancellationScope.nonCancellable(() => rollout.finish(ending))
}

function newProgress(): Progress {
  return {
    owner: uuid4(),
    startedAt: now(),
    incarnation: 1,
    phase: 0,
    turn: 0,
    gradingAttempts: 0,
    phases: {},
  }
}

class Rollout {
  readonly #input: RolloutInput
  readonly #progress: Progress

  constructor(input: RolloutInput, progress: Progress) {
    this.#input = input
    this.#progress = progress
  }

  /** Lives through incarnations until there is a grade, a failure, or so much history that it must go on as new. */
  async workUntilEnded(): Promise<Ending | 'continue'> {
    for (;;) {
      try {
        const grade = await this.#workInOneSandbox()
        return grade === 'continue' ? grade : { state: 'graded', grade }
      } catch (error) {
        const failure = failureOf(error)
        if (failure.code === 'cancelled') return { state: 'cancelled', failure }
        if (failure.code !== 'sandbox-lost' || !this.#mayRestart()) return { state: 'failed', failure }
        this.#beginIncarnation()
      }
    }
  }

  /** Stores what happened, then removes every sandbox that this rollout may have made. */
  async finish(ending: Ending): Promise<RolloutOutcome> {
    const { agentEnd, gradingAttempts, phases, startedAt, opened } = this.#progress
    this.#show('record')
    const lost =
      ending.state === 'failed' && (ending.failure.code === 'sandbox-lost' || ending.failure.code === 'host-lost')
    try {
      const outcome = await callActivity(
        'recordRollout',
        { ...activityOptions.recordRollout, summary: ending.state },
        {
          ...this.#ref(),
          ...ending,
          ...(agentEnd === undefined ? {} : { agentEnd }),
          ...(opened === undefined || lost ? {} : { lease: opened.lease }),
          phase: this.#progress.phase + 1,
          gradingAttempts,
          startedAt,
          phases,
        },
      )
      this.#publish(outcome)
      return outcome
    } finally {
      this.#show('release')
      await this.#release(ending.state)
      this.#show('done')
    }
  }

  async #workInOneSandbox(): Promise<GradeResult | 'continue'> {
    const opened = (this.#progress.opened ??= await this.#open())
    const ended = await this.#takeTurns(opened)
    return ended ? await this.#grade(opened) : 'continue'
  }

  async #open(): Promise<OpenedRollout> {
    this.#show('open')
    return await this.#timed('open', () =>
      untilKept(() =>
        callActivity(
          'openRollout',
          { ...activityOptions.openRollout(this.#input.policy), summary: `sandbox ${this.#progress.incarnation}` },
          this.#ref(),
        ),
      ),
    )
  }

  /** False when the history has grown so long that the workflow must go on as new. */
  async #takeTurns(opened: OpenedRollout): Promise<boolean> {
    if (this.#progress.agentEnd !== undefined) return true
    this.#progress.phase = Math.max(this.#progress.phase, 1)
    const deadline = (this.#progress.deadline ??= Date.now() + opened.agentTimeoutMs)
    return await this.#timed('turns', async () => {
      while (this.#progress.agentEnd === undefined) {
        if (workflowInfo().continueAsNewSuggested) return false
        this.#show('turns')
        await this.#takeSlice(opened.lease, deadline)
      }
      return true
    })
  }

  async #takeSlice(lease: Lease, deadline: number): Promise<void> {
    const { phase, turn } = this.#progress
    const remainingMs = Math.max(0, deadline - Date.now())
    const result = await untilKept(() =>
      callActivity(
        'runTurns',
        { ...activityOptions.runTurns(remainingMs), summary: `from turn ${turn}` },
        { ...this.#ref(), lease, phase, turn, deadline, sliceMs: timing.sliceMs },
      ),
    )
    this.#progress.turn = result.turn
    if (result.end !== undefined) this.#progress.agentEnd = result.end
  }

  /** Only a grading failure is worth another attempt in the surviving sandbox. */
  async #grade(opened: OpenedRollout): Promise<GradeResult> {
    this.#show('grade')
    for (;;) {
      this.#progress.phase += 1
      this.#progress.gradingAttempts += 1
      try {
        return await this.#timed('grade', () => this.#gradeOnce(opened))
      } catch (error) {
        const { code } = failureOf(error)
        if (!isGradingFailure(code) || this.#progress.gradingAttempts >= this.#input.policy.gradingAttempts) throw error
      }
    }
  }

  async #gradeOnce(opened: OpenedRollout): Promise<GradeResult> {
    const { phase, gradingAttempts: attempt } = this.#progress
    return await untilKept(() =>
      callActivity(
        'gradeRollout',
        { ...activityOptions.gradeRollout(opened.verifierTimeoutMs), summary: `attempt ${attempt}` },
        { ...this.#ref(), lease: opened.lease, phase, attempt },
      ),
    )
  }

  async #release(state: Ending['state']): Promise<void> {
    await callActivity(
      'releaseSandbox',
      { ...activityOptions.releaseSandbox, summary: `${this.#progress.incarnation} sandbox(es)` },
      {
        job: this.#input.job,
        storeUrl: this.#input.storeUrl,
        rollout: this.#input.rollout,
        owner: this.#progress.owner,
        state,
        incarnations: this.#progress.incarnation,
      },
    )
  }

  #mayRestart(): boolean {
    const { policy, maxIncarnations } = this.#input.policy.sandboxLoss
    return policy === 'restart' && this.#progress.incarnation < maxIncarnations
  }

  /** A new sandbox means a new beginning; what happened in the earlier ones stays in the store. */
  #beginIncarnation(): void {
    this.#progress.incarnation += 1
    // The sweep reads it from the server, also where no worker answers for this workflow.
    if (patched('incarnation-memo')) upsertMemo({ incarnation: this.#progress.incarnation })
    this.#progress.phase = 0
    this.#progress.turn = 0
    delete this.#progress.opened
    delete this.#progress.deadline
    delete this.#progress.agentEnd
  }

  #ref() {
    const { job, storeUrl, rollout } = this.#input
    return { job, storeUrl, rollout, incarnation: this.#progress.incarnation, owner: this.#progress.owner }
  }

  async #timed<Result>(phase: keyof PhaseTimes, work: () => Promise<Result>): Promise<Result> {
    const startedAt = this.#progress.phases[phase]?.startedAt ?? now()
    try {
      return await work()
    } finally {
      this.#progress.phases = { ...this.#progress.phases, [phase]: { startedAt, finishedAt: now() } }
    }
  }

  #show(phase: RolloutPhase): void {
    const { incarnation, turn, gradingAttempts } = this.#progress
    const rows = [
      `phase: **${phase}**`,
      `turn: ${turn}`,
      `sandbox: ${this.#progress.opened?.lease.sandbox ?? 'none yet'} (incarnation ${incarnation})`,
      `grading attempts: ${gradingAttempts}`,
    ]
    setCurrentDetails(rows.join('\n\n'))
  }

  /** Each upsert is a visibility write, so there is one, at the end: by it a person filters. */
  #publish(outcome: RolloutOutcome): void {
    if (!this.#input.searchable) return
    upsertSearchAttributes(attributesAtEnd(outcome))
  }
}

function now(): string {
  return new Date().toISOString()
}
