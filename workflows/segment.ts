import { ChildWorkflowCancellationType, executeChild, ParentClosePolicy } from '@temporalio/workflow'
import type { RolloutOutcome, RolloutPolicy } from '../protocol/activities.ts'
import type { PlannedRollout } from '../protocol/job.ts'
import { rolloutId } from '../protocol/names.ts'
import { failureOf } from './failure-of.ts'
import type { SegmentStatus, Tally } from './messages.ts'
import type { RolloutInput } from './rollout.ts'
import { attributesAtStart } from './search-attributes.ts'
import { timing } from './timing.ts'
import { RolloutWindow } from './window.ts'
import type { WindowControl } from './window.ts'

export interface SegmentInput {
  readonly job: string
  readonly storeUrl: string
  readonly provider: string
  readonly policy: RolloutPolicy
  readonly searchable: boolean
  /** As in the job's own input. */
  readonly sharedProvider?: string
}

/** Runs a list of rollouts as children and keeps count: all of a small job, or one shard of a large one. */
export class Segment {
  readonly tally: Tally = { graded: 0, failed: 0, cancelled: 0, rewardSum: 0, left: 0 }
  readonly endedNames: string[] = []
  readonly #window: RolloutWindow<PlannedRollout>
  readonly #input: SegmentInput

  /** @param watch told when a rollout has begun, and when one is no longer in flight */
  constructor(
    input: SegmentInput,
    control: WindowControl,
    watch: { onBegun: () => void; onEnded: () => Promise<void> | void },
  ) {
    this.#input = input
    this.#window = new RolloutWindow(control, { ...watch, work: (rollout) => this.#runOne(rollout) })
  }

  drain(rollouts: AsyncIterable<PlannedRollout> | Iterable<PlannedRollout>): Promise<void> {
    return this.#window.drain(rollouts)
  }

  status(): SegmentStatus {
    return {
      tally: this.tally,
      running: [...this.#window.active].map((rollout) => rollout.name),
      ended: this.endedNames.length,
    }
  }

  running(): number {
    return this.#window.active.size
  }

  async #runOne(rollout: PlannedRollout): Promise<void> {
    this.#count(await this.#outcomeOf(rollout))
    this.endedNames.push(rollout.name)
  }

  async #outcomeOf(rollout: PlannedRollout): Promise<RolloutOutcome> {
    try {
      return await executeChild('rolloutWorkflow', this.#childOptions(rollout))
    } catch (error) {
      const { code } = failureOf(error)
      return { state: code === 'cancelled' ? 'cancelled' : 'failed', code }
    }
  }

  #childOptions(rollout: PlannedRollout) {
    const { job, storeUrl, policy, searchable, provider, sharedProvider } = this.#input
    const shared = sharedProvider === undefined ? {} : { sharedProvider }
    return {
      workflowId: rolloutId(job, rollout.name),
      args: [{ job, storeUrl, policy, searchable, rollout: rollout.name, ...shared } satisfies RolloutInput],
      // A job that ends without its children (terminated) still has their sandboxes torn down.
      parentClosePolicy: ParentClosePolicy.REQUEST_CANCEL,
      cancellationType: ChildWorkflowCancellationType.WAIT_CANCELLATION_COMPLETED,
      workflowTaskTimeout: timing.workflowTaskTimeoutMs,
      // A whole rollout is never retried: what happened in its sandbox has happened.
      retry: { maximumAttempts: 1 },
      staticSummary: `${rollout.task} · ${rollout.agent} · attempt ${rollout.attempt}`,
      ...(searchable ? { typedSearchAttributes: attributesAtStart({ job, provider, ...rollout }) } : {}),
    }
  }

  #count(outcome: RolloutOutcome): void {
    this.tally[outcome.state] += 1
    this.tally.rewardSum += outcome.reward ?? 0
    if (outcome.left === true) this.tally.left += 1
  }
}
