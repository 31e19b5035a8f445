import { CancellationScope, getExternalWorkflowHandle, setHandler } from '@temporalio/workflow'
import type { PlannedRollout } from '../protocol/job.ts'
import { callActivity } from './activity-stubs.ts'
import { showShard } from './job-details.ts'
import { drainingSignal, endedQuery, segmentQuery, windowSignal } from './messages.ts'
import type { Tally } from './messages.ts'
import { Segment } from './segment.ts'
import type { SegmentInput } from './segment.ts'
import { activityOptions } from './timing.ts'
import type { WindowControl } from './window.ts'

export interface ShardInput extends SegmentInput {
  readonly shard: number
  /** The shard's part of the plan. */
  readonly from: number
  readonly count: number
  readonly window: WindowControl
}

/** A part of a large job, so that no history grows without bound. The job tells it how much it may have in flight. */
export async function shardWorkflow(input: ShardInput): Promise<Tally> {
  const control = { ...input.window }
  const shard = new ShardReports(input)
  const segment = new Segment(input, control, {
    onBegun: () => show(),
    onEnded: () => {
      show()
      return shard.reportWhenDraining(segment.running())
    },
  })
  const show = (): void => showShard(segment.status(), input.count)
  setHandler(windowSignal, ({ size, paused }) => {
    control.size = size
    control.paused = paused
  })
  setHandler(segmentQuery, () => segment.status())
  setHandler(endedQuery, (from, count) => segment.endedNames.slice(from, from + count))

  const { job, storeUrl, from, count } = input
  const rollouts = await callActivity(
    'listRollouts',
    { ...activityOptions.listRollouts, summary: `${from} to ${from + count - 1}` },
    { job, storeUrl, from, count },
  )
  await segment.drain(shard.untilLast(rollouts, () => segment.running()))
  return segment.tally
}

/** Tells the job what this shard no longer uses, from the moment its last rollout has begun. */
class ShardReports {
  readonly #input: ShardInput
  #draining = false

  constructor(input: ShardInput) {
    this.#input = input
  }

  /** Passes the rollouts on; asked for one more than there are, all of them have begun. */
  async *untilLast(rollouts: readonly PlannedRollout[], running: () => number): AsyncIterable<PlannedRollout> {
    yield* rollouts
    this.#draining = true
    await this.reportWhenDraining(running())
  }

  async reportWhenDraining(running: number): Promise<void> {
    if (!this.#draining || CancellationScope.current().consideredCancelled) return
    await getExternalWorkflowHandle(this.#input.job).signal(drainingSignal, { shard: this.#input.shard, running })
  }
}
