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
import type { GradeResult, Lease, OpenedRollout, PartPlan, Placement, ReleaseInput } from '../protocol/activities.ts'
import type { RolloutOutcome, RolloutPolicy, StepPlan } from '../protocol/activities.ts'
import type { StepResult } from '../protocol/grade.ts'
import type { Failure, FailureCode } from '../protocol/failure.ts'
import { isGradingFailure } from '../protocol/failure.ts'
import { callActivity, untilKept } from './activity-stubs.ts'
import { failureOf } from './failure-of.ts'
import { byPlace, choosePlace, onReachQueue } from './places.ts'
import { beginIncarnation, beginStep, newProgress, showRollout, timed, updateStep } from './rollout-progress.ts'
import type { Progress } from './rollout-progress.ts'
import { attributesAtEnd } from './search-attributes.ts'
import { combinedGrade, isBelow } from './step-rewards.ts'
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
 * One attempt by one agent at one task: open → turns → grade → record → release; of a task of several steps: open, then
 * prepare → turns → collect → grade for each. A separate verifier is opened and released around its grading. A lost sandbox ends the incarnation,
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
    const { agentEnd, collectedPhase, gradingAttempts, phase, phases, startedAt, steps } = this.#progress
    return await callActivity(
      'recordRollout',
      { ...activityOptions.recordRollout, ...(lease === undefined ? {} : this.#reach()), summary: ending.state },
      {
        ...this.#ref(),
        ...ending,
        ...(agentEnd === undefined ? {} : { agentEnd }),
        ...(lease === undefined ? {} : { lease }),
        ...(collectedPhase === undefined ? {} : { isCollected: true }),
        ...(steps === undefined ? {} : { steps: stepsAtEnd(steps, ending) }),
        phase: phase + 1,
        gradingAttempts,
        startedAt,
        phases,
      },
    )
  }

  async #workInOneSandbox(): Promise<GradeResult | 'continue'> {
    const opened = (this.#progress.opened ??= await this.#open())
    if (opened.steps !== undefined) return await this.#workInSteps(opened, opened.steps)
    const ended = await this.#takeTurns(opened, opened)
    return ended ? await this.#grade(opened, opened) : 'continue'
  }

  /** One step after the other, until one is not good enough. */
  async #workInSteps(opened: OpenedRollout, plans: readonly StepPlan[]): Promise<GradeResult | 'continue'> {
    const isDone = (index: number) => this.#progress.steps?.[index]?.rewards !== undefined
    for (const [index, plan] of plans.entries()) {
      if (!isDone(index) && !(await this.#workOnStep(opened, plan, index))) return 'continue'
      if (isBelow(plan, this.#progress.steps?.[index]?.rewards ?? {})) break
    }
    return combinedGrade(this.#progress.steps ?? [], opened.rewardStrategy ?? 'mean')
  }

  /** False when the history has grown so long that the workflow must go on as new. */
  async #workOnStep(opened: OpenedRollout, plan: StepPlan, index: number): Promise<boolean> {
    if (this.#progress.steps?.[index] === undefined) beginStep(this.#progress, plan.name)
    if (this.#progress.stepState === 'prepare') {
      await this.#prepareStep(opened.lease)
      this.#progress.phase += 1
      this.#progress.stepState = 'turns'
    }
    if (!(await this.#takeTurns(opened, plan))) return false
    updateStep(this.#progress, () =>
      this.#progress.agentEnd === undefined ? {} : { agentEnd: this.#progress.agentEnd },
    )
    const grade = await this.#grade(opened, plan)
    updateStep(this.#progress, () => grade)
    return true
  }

  async #prepareStep(lease: Lease): Promise<void> {
    const { startTimeoutMs } = this.#input.policy
    showRollout(this.#progress, 'open')
    const options = { ...activityOptions.prepareStep(startTimeoutMs), ...this.#reach(), summary: this.#stepName() }
    await untilKept(() => callActivity('prepareStep', options, this.#part(lease)))
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
  async #takeTurns(opened: OpenedRollout, plan: PartPlan): Promise<boolean> {
    this.#progress.phase = Math.max(this.#progress.phase, 1)
    return await timed(this.#progress, 'turns', async () => {
      while (this.#progress.agentEnd === undefined) {
        if (workflowInfo().continueAsNewSuggested) return false
        showRollout(this.#progress, 'turns')
        await this.#takeSlice(opened.lease, plan)
      }
      return true
    })
  }

  async #takeSlice(lease: Lease, { agentTimeoutMs }: PartPlan): Promise<void> {
    const { turn } = this.#progress
    const result = await untilKept((wasHandedOver) => {
      const agentMs = Math.max(0, agentTimeoutMs - (this.#progress.tookMs ?? 0))
      const summary = this.#stepName(`from turn ${turn}`)
      const options = { ...activityOptions.runTurns(agentMs), ...this.#reach(), summary }
      const input = { ...this.#part(lease), turn, agentMs, sliceMs: timing.sliceMs }
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

  /** Only a grading failure is worth another attempt: in the surviving sandbox, or in a new one of the verifier's own. */
  async #grade(opened: OpenedRollout, plan: PartPlan): Promise<GradeResult> {
    const isWanted = plan.separate === true || opened.steps !== undefined
    if (isWanted) await this.#collect(opened.lease)
    showRollout(this.#progress, 'grade')
    let lostVerifiers = 0
    for (let attempt = 1; ; attempt += 1) {
      this.#progress.phase += 1
      this.#progress.gradingAttempts += 1
      updateStep(this.#progress, () => ({ gradingAttempts: attempt }))
      try {
        const gradeOnce = () =>
          plan.separate ? this.#gradeApart(plan, attempt) : this.#gradeOnce(opened.lease, plan, attempt)
        return await timed(this.#progress, 'grade', gradeOnce)
      } catch (error) {
        const { code } = failureOf(error)
        if (plan.separate && this.#mayReplaceVerifier(code, lostVerifiers)) {
          lostVerifiers += 1
          attempt -= 1
        } else if (!isGradingFailure(code) || attempt >= this.#input.policy.gradingAttempts) throw error
      }
    }
  }

  async #collect(lease: Lease): Promise<void> {
    this.#progress.phase += 1
    const options = { ...activityOptions.collectArtifacts, ...this.#reach(), summary: this.#stepName('artifacts') }
    await untilKept(() => callActivity('collectArtifacts', options, this.#part(lease)))
    this.#progress.collectedPhase = this.#progress.phase
  }

  /** In a sandbox of the verifier's own, which is gone afterwards; noted before it is made, for release. */
  async #gradeApart(plan: PartPlan, attempt: number): Promise<GradeResult> {
    const { incarnation, phase } = this.#progress
    const { policy } = this.#input
    const verifier = { phase, ...this.#step() }
    this.#progress.verifiers = [...(this.#progress.verifiers ?? []), { incarnation, phase }]
    let mayAppear = false
    try {
      const options = { ...activityOptions.openRollout(policy), ...this.#reach(), summary: this.#stepName('verifier') }
      const { lease } = await untilKept(() => callActivity('openRollout', options, { ...this.#ref(), verifier }))
      return await this.#gradeOnce(lease, plan, attempt)
    } catch (error) {
      mayAppear = mayHaveMade(error)
      throw error
    } finally {
      await CancellationScope.nonCancellable(() => this.#releaseVerifiers(mayAppear))
    }
  }

  async #gradeOnce(lease: Lease, plan: PartPlan, attempt: number): Promise<GradeResult> {
    const { collectedPhase } = this.#progress
    const apart = plan.separate && collectedPhase !== undefined ? { collectedPhase } : {}
    const options = { ...activityOptions.gradeRollout(plan.verifierTimeoutMs), ...this.#reach() }
    const summary = this.#stepName(`attempt ${attempt}`)
    return await untilKept(() =>
      callActivity('gradeRollout', { ...options, summary }, { ...this.#part(lease), attempt, ...apart }),
    )
  }

  /** Tries for its hour; the rollout ends all the same, and what is left then is the sweep's. @returns whether it is */
  async #release(state: Ending['state']): Promise<boolean> {
    const { incarnation: last, openIsUnknown: mayAppear = false, placements, verifiers } = this.#progress
    const releases = byPlace(last, placements).map(async ({ incarnations, placement }) => {
      const here = verifiers?.filter(({ incarnation }) => incarnations.includes(incarnation))
      const left = here?.length ? { verifiers: here } : {}
      return await this.#releaseAt(placement, { state, incarnations, ...left, mayAppear })
    })
    return (await Promise.all(releases)).includes(true)
  }

  /** Those that could not be removed now are left to the end. */
  async #releaseVerifiers(mayAppear: boolean): Promise<void> {
    const { incarnation, placements, verifiers = [] } = this.#progress
    const here = verifiers.filter((verifier) => verifier.incarnation === incarnation)
    const what = { state: 'graded' as const, incarnations: [], verifiers: here, mayAppear }
    const left = await this.#releaseAt(placements?.[incarnation], what)
    if (!left) this.#progress.verifiers = verifiers.filter((verifier) => verifier.incarnation !== incarnation)
  }

  async #releaseAt(
    placement: Placement | undefined,
    what: Pick<ReleaseInput, 'state' | 'incarnations' | 'verifiers' | 'mayAppear'>,
  ): Promise<boolean> {
    const { job, storeUrl, rollout } = this.#input
    const { incarnation: last, owner } = this.#progress
    const queue = placement === undefined ? {} : { taskQueue: placement.queue }
    const where = placement === undefined ? {} : { place: placement.place }
    const which = what.incarnations.length > 0 ? `sandbox ${what.incarnations.join(', ')}` : this.#stepName('verifier')
    const options = { ...activityOptions.releaseSandbox, ...queue, summary: which }
    const input = { job, storeUrl, rollout, owner, ...what, last, ...where }
    try {
      await callActivity('releaseSandbox', options, input)
      return false
    } catch (error) {
      log.warn(`${which} is left to the sweep: ${failureOf(error).message}`)
      return true
    }
  }

  /** The agent's work is safe: only the sandbox of its verifier was lost. */
  #mayReplaceVerifier(code: FailureCode, lostBefore: number): boolean {
    const { policy, maxIncarnations } = this.#input.policy.sandboxLoss
    return code === 'sandbox-lost' && policy === 'restart' && lostBefore + 1 < maxIncarnations
  }

  #mayRestart(code: FailureCode): boolean {
    const { policy, maxIncarnations } = this.#input.policy.sandboxLoss
    return isLoss(code) && policy === 'restart' && this.#progress.incarnation < maxIncarnations
  }

  /** The part of the task at work, for an activity of its own phase. */
  #part(lease: Lease) {
    const { phase } = this.#progress
    return { ...this.#ref(), lease, phase, ...this.#step() }
  }

  #step(): { step?: number } {
    const { steps } = this.#progress
    return steps === undefined ? {} : { step: steps.length - 1 }
  }

  /** A one-line summary that names the step, where there are steps. */
  #stepName(what?: string): string {
    return [this.#progress.steps?.at(-1)?.name, what].filter((part) => part !== undefined).join(': ')
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

/** The step at which the rollout ended bears its failure. */
function stepsAtEnd(steps: readonly StepResult[], ending: Ending): StepResult[] {
  const failure = ending.state === 'graded' ? undefined : ending.failure
  return steps.map((step, index) =>
    failure !== undefined && index === steps.length - 1 && step.rewards === undefined ? { ...step, failure } : step,
  )
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
