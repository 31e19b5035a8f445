import {
  ActivityFailure,
  ApplicationFailure,
  CancellationScope,
  continueAsNew,
  log,
  TimeoutFailure,
  upsertSearchAttributes,
  workflowInfo,
} from '@temporalio/workflow'
import type { GradeResult, Lease, OpenedRollout, RolloutOutcome, RolloutPolicy } from '../protocol/activities.ts'
import type { Failure, FailureCode } from '../protocol/failure.ts'
import { isGradingFailure } from '../protocol/failure.ts'
import { callActivity, untilKept } from './activity-stubs.ts'
import { failureOf } from './failure-of.ts'
import { byPlace, choosePlace, onReachQueue } from './places.ts'
import { beginIncarnation, newProgress, showRollout, timed } from './rollout-progress.ts'
import type { Progress } from './rollout-progress.ts'
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
  /** As in the job's input: each incarnation is placed on one of several hosts. */
  readonly sharedProvider?: string
  /** Only after continue-as-new. */
  readonly progress?: Progress
}

type Ending =
  | { readonly state: 'graded'; readonly grade: GradeResult }
  | { readonly state: 'failed' | 'cancelled'; readonly failure: Failure }

/**
 * One attempt by one agent at one task: open → turns → grade → record → release. A lost sandbox ends the incarnation,
 * not the rollout. Release covers every incarnation that may have been opened, and runs also when cancelled.
 */
export async function rolloutWorkflow(input: RolloutInput): Promise<RolloutOutcome> {
  const progress = input.progress ?? newProgress({ isPlaced: input.sharedProvider !== undefined })
  const rollout = new Rollout(input, progress)
  const ending = await rollout.workUntilEnded()
  if (ending === 'continue') return await continueAsNew<typeof rolloutWorkflow>({ ...input, progress })
  return await CancellationScope.nonCancellable(() => rollout.finish(ending))
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
        // Its worker was dead, so that the step ran out of time instead of answering that it was cancelled.
        if (CancellationScope.current().consideredCancelled) {
          return { state: 'cancelled', failure: { code: 'cancelled', message: 'The job was cancelled.' } }
        }
        if (!this.#mayRestart(failure.code)) return { state: 'failed', failure }
        beginIncarnation(this.#progress)
      }
    }
  }

  /** Stores what happened, then removes every sandbox that this rollout may have made. */
  async finish(ending: Ending): Promise<RolloutOutcome> {
    showRollout(this.#progress, 'record')
    const recorded = await settle(this.#record(ending))
    if (recorded.status === 'fulfilled') this.#publish(recorded.value)
    showRollout(this.#progress, 'release')
    const left = await this.#release(ending.state)
    showRollout(this.#progress, 'done', left ? ['a sandbox could not be removed: the sweep has it'] : [])
    if (recorded.status === 'rejected') throw recorded.reason
    return left ? { ...recorded.value, left } : recorded.value
  }

  async #record(ending: Ending): Promise<RolloutOutcome> {
    const { opened } = this.#progress
    if (opened === undefined || (ending.state === 'failed' && isLoss(ending.failure.code))) {
      return await this.#recordWith(ending)
    }
    try {
      return await this.#recordWith(ending, opened.lease)
    } catch (error) {
      // A grade that is certain is kept: only artifacts that were still in the sandbox are gone with its host.
      if (failureOf(error).code !== 'host-lost') throw error
      return await this.#recordWith(ending)
    }
  }

  async #recordWith(ending: Ending, lease?: Lease): Promise<RolloutOutcome> {
    const { agentEnd, gradingAttempts, phase, phases, startedAt } = this.#progress
    return await callActivity(
      'recordRollout',
      { ...activityOptions.recordRollout, ...(lease === undefined ? {} : this.#reach()), summary: ending.state },
      {
        ...this.#ref(),
        ...ending,
        ...(agentEnd === undefined ? {} : { agentEnd }),
        ...(lease === undefined ? {} : { lease }),
        phase: phase + 1,
        gradingAttempts,
        startedAt,
        phases,
      },
    )
  }

  async #workInOneSandbox(): Promise<GradeResult | 'continue'> {
    const opened = (this.#progress.opened ??= await this.#open())
    const ended = await this.#takeTurns(opened)
    return ended ? await this.#grade(opened) : 'continue'
  }

  async #open(): Promise<OpenedRollout> {
    showRollout(this.#progress, 'open')
    const { policy } = this.#input
    try {
      return await timed(this.#progress, 'open', async () => {
        await this.#place()
        const options = { ...activityOptions.openRollout(policy), ...this.#reach() }
        const summary = `sandbox ${this.#progress.incarnation}`
        return await untilKept(() => callActivity('openRollout', { ...options, summary }, this.#ref()))
      })
    } catch (error) {
      this.#progress.openIsUnknown = mayHaveMade(error)
      throw error
    }
  }

  /** With several hosts: chooses the one of this incarnation, once. */
  async #place(): Promise<void> {
    const { sharedProvider, policy } = this.#input
    const { incarnation, placements } = this.#progress
    if (sharedProvider === undefined || placements?.[incarnation] !== undefined) return
    const { acquireTimeoutMs } = policy
    const placement = await choosePlace(this.#ref(), { sharedProvider, acquireTimeoutMs })
    this.#progress.placements = { ...placements, [incarnation]: placement }
  }

  #reach() {
    const { incarnation, placements } = this.#progress
    return onReachQueue(placements?.[incarnation], this.#input.policy.sandboxLoss.hostLostMs)
  }

  /** False when the history has grown so long that the workflow must go on as new. */
  async #takeTurns(opened: OpenedRollout): Promise<boolean> {
    if (this.#progress.agentEnd !== undefined) return true
    this.#progress.phase = Math.max(this.#progress.phase, 1)
    return await timed(this.#progress, 'turns', async () => {
      while (this.#progress.agentEnd === undefined) {
        if (workflowInfo().continueAsNewSuggested) return false
        showRollout(this.#progress, 'turns')
        await this.#takeSlice(opened)
      }
      return true
    })
  }

  async #takeSlice({ lease, agentTimeoutMs }: OpenedRollout): Promise<void> {
    const { phase, turn } = this.#progress
    const result = await untilKept((wasHandedOver) => {
      const agentMs = Math.max(0, agentTimeoutMs - (this.#progress.tookMs ?? 0))
      const options = { ...activityOptions.runTurns(agentMs), ...this.#reach(), summary: `from turn ${turn}` }
      const input = { ...this.#ref(), lease, phase, turn, agentMs, sliceMs: timing.sliceMs }
      return this.#counted(callActivity('runTurns', options, { ...input, ...(wasHandedOver && { wasHandedOver }) }))
    })
    this.#progress.turn = result.turn
    if (result.end !== undefined) this.#progress.agentEnd = result.end
  }

  async #counted<Result extends { tookMs?: number }>(taking: Promise<Result>): Promise<Result> {
    const result = await taking
    this.#progress.tookMs = (this.#progress.tookMs ?? 0) + (result.tookMs ?? 0)
    return result
  }

  /** Only a grading failure is worth another attempt in the surviving sandbox. */
  async #grade(opened: OpenedRollout): Promise<GradeResult> {
    showRollout(this.#progress, 'grade')
    for (;;) {
      this.#progress.phase += 1
      this.#progress.gradingAttempts += 1
      try {
        return await timed(this.#progress, 'grade', () => this.#gradeOnce(opened))
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
        {
          ...activityOptions.gradeRollout(opened.verifierTimeoutMs),
          ...this.#reach(),
          summary: `attempt ${attempt}`,
        },
        { ...this.#ref(), lease: opened.lease, phase, attempt },
      ),
    )
  }

  /** Tries for its hour; the rollout ends all the same, and what is left then is the sweep's. @returns whether it is */
  async #release(state: Ending['state']): Promise<boolean> {
    const { job, storeUrl, rollout } = this.#input
    const { incarnation: last, openIsUnknown = false, owner, placements } = this.#progress
    const releases = byPlace(last, placements).map(async ({ incarnations, placement }) => {
      const queue = placement === undefined ? {} : { taskQueue: placement.queue }
      const where = placement === undefined ? {} : { place: placement.place }
      const options = { ...activityOptions.releaseSandbox, ...queue, summary: `sandbox ${incarnations.join(', ')}` }
      const input = { job, storeUrl, rollout, owner, state, incarnations, last, mayAppear: openIsUnknown, ...where }
      try {
        await callActivity('releaseSandbox', options, input)
        return false
      } catch (error) {
        log.warn(`Sandbox ${incarnations.join(', ')} is left to the sweep: ${failureOf(error).message}`)
        return true
      }
    })
    return (await Promise.all(releases)).includes(true)
  }

  #mayRestart(code: FailureCode): boolean {
    const { policy, maxIncarnations } = this.#input.policy.sandboxLoss
    return isLoss(code) && policy === 'restart' && this.#progress.incarnation < maxIncarnations
  }

  #ref() {
    const { job, storeUrl, rollout } = this.#input
    const { incarnation, owner, placements } = this.#progress
    const place = placements?.[incarnation]?.place
    return { job, storeUrl, rollout, incarnation, owner, ...(place === undefined ? {} : { place }) }
  }

  /** Each upsert is a visibility write, so there is one, at the end: by it a person filters. */
  #publish(outcome: RolloutOutcome): void {
    if (!this.#input.searchable) return
    upsertSearchAttributes(attributesAtEnd(outcome))
  }
}

/** What a promise came to, to be looked at later. */
async function settle<Result>(promise: Promise<Result>): Promise<PromiseSettledResult<Result>> {
  const [result] = await Promise.allSettled([promise])
  return result
}

/** Opening has ended without a word, or was cancelled while its sandbox was on its way: it may still appear. */
function mayHaveMade(error: unknown): boolean {
  if (!(error instanceof ActivityFailure)) return false
  const { cause } = error
  return cause instanceof TimeoutFailure || (cause instanceof ApplicationFailure && cause.type === 'cancelled')
}

/** The sandbox is out of reach for good: the policy says whether there is another one. */
function isLoss(code: FailureCode): boolean {
  return code === 'sandbox-lost' || code === 'host-lost'
}
