import {
  CancellationScope,
  ChildWorkflowCancellationType,
  condition,
  ParentClosePolicy,
  startChild,
} from '@temporalio/workflow'
import type { ChildWorkflowHandle } from '@temporalio/workflow'
import { shardWorkflowId } from '../protocol/names.ts'
import { failureOf } from './failure-of.ts'
import { windowSignal } from './messages.ts'
import type { Tally } from './messages.ts'
import type { SegmentInput } from './segment.ts'
import { ShardGrants } from './shard-grants.ts'
import type { ShardInput, shardWorkflow } from './shard.ts'
import { timing } from './timing.ts'
import { settleAll } from './window.ts'
import type { WindowControl } from './window.ts'

interface ShardPart {
  readonly shard: number
  readonly from: number
  readonly count: number
}

/** A large job's rollouts, shard after shard; the next one begins when the one before has begun its last rollout. */
export class Shards {
  /** Counts of the shards that have ended. */
  readonly tally: Tally = { graded: 0, failed: 0, cancelled: 0, rewardSum: 0, left: 0 }
  readonly entries: { workflowId: string; ended: boolean }[] = []
  readonly #grants = new ShardGrants()
  readonly #started = new Map<number, ChildWorkflowHandle<typeof shardWorkflow>>()
  readonly #input: SegmentInput
  readonly #control: WindowControl

  readonly #onChange: () => void

  /** @param onChange told when a shard begins or has ended */
  constructor(input: SegmentInput, control: WindowControl, onChange: () => void) {
    this.#input = input
    this.#control = control
    this.#onChange = onChange
  }

  async drain(plan: { total: number; shardSize: number }): Promise<void> {
    const ends: Promise<void>[] = []
    try {
      for (const part of partsOf(plan)) {
        await condition(() => !this.#grants.isFilling() && this.#grants.available(this.#control.size) > 0)
        ends.push(this.#run(part))
      }
    } finally {
      await CancellationScope.nonCancellable(() => settleAll(ends))
    }
  }

  reportDraining(report: { shard: number; running: number }): void {
    this.#grants.reportDraining(report.shard, report.running)
    this.windowChanged()
  }

  /** Tells the filling shard what it may use now; one that has just ended needs no telling. */
  windowChanged(): void {
    const shard = this.#grants.current()
    const handle = shard === undefined ? undefined : this.#started.get(shard)
    handle?.signal(windowSignal, this.#window()).catch(() => undefined)
  }

  #window(): WindowControl {
    return { size: this.#grants.available(this.#control.size), paused: this.#control.paused }
  }

  async #run(part: ShardPart): Promise<void> {
    const entry = { workflowId: shardWorkflowId(this.#input.job, part.shard), ended: false }
    this.entries.push(entry)
    this.#onChange()
    this.#grants.begin(part.shard)
    try {
      const handle = await startChild<typeof shardWorkflow>('shardWorkflow', this.#childOptions(entry.workflowId, part))
      this.#started.set(part.shard, handle)
      // What changed while it was starting could not reach it.
      this.windowChanged()
      this.#add(await handle.result())
    } catch (error) {
      // A shard that was cancelled or terminated ends without a tally; the summary counts from the stored results.
      failureOf(error)
    } finally {
      entry.ended = true
      this.#onChange()
      this.#started.delete(part.shard)
      this.#grants.end(part.shard)
      this.windowChanged()
    }
  }

  #childOptions(workflowId: string, part: ShardPart) {
    return {
      workflowId,
      args: [{ ...this.#input, ...part, window: this.#window() }] satisfies [ShardInput],
      parentClosePolicy: ParentClosePolicy.REQUEST_CANCEL,
      cancellationType: ChildWorkflowCancellationType.WAIT_CANCELLATION_COMPLETED,
      workflowTaskTimeout: timing.workflowTaskTimeoutMs,
      retry: { maximumAttempts: 1 },
      staticSummary: `rollouts ${part.from} to ${part.from + part.count - 1}`,
    }
  }

  #add(tally: Tally): void {
    this.tally.graded += tally.graded
    this.tally.failed += tally.failed
    this.tally.cancelled += tally.cancelled
    this.tally.rewardSum += tally.rewardSum
    this.tally.left += tally.left
  }
}

function* partsOf(plan: { total: number; shardSize: number }): Iterable<ShardPart> {
  for (let shard = 0; shard * plan.shardSize < plan.total; shard += 1) {
    const from = shard * plan.shardSize
    yield { shard, from, count: Math.min(plan.shardSize, plan.total - from) }
  }
}
