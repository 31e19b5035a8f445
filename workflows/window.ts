import { CancellationScope, condition } from '@temporalio/workflow'

/** How many lanes may be busy; changed by updates and signals while the window works. */
export interface WindowControl {
  size: number
  paused: boolean
}

/** What a window has in flight; read by queries. */
export class RolloutWindow<Item> {
  readonly active = new Set<Item>()
  readonly #control: WindowControl
  readonly #work: (item: Item) => Promise<void>
  readonly #onBegun: () => void
  readonly #onEnded: () => Promise<void> | void

  /**
   * @param lanes.work must settle every failure of the item itself; what it throws is a bug
   * @param lanes.onBegun called when an item has just come into flight
   * @param lanes.onEnded called when an item is no longer in flight
   */
  constructor(
    control: WindowControl,
    lanes: { work: (item: Item) => Promise<void>; onBegun: () => void; onEnded: () => Promise<void> | void },
  ) {
    this.#control = control
    this.#work = lanes.work
    this.#onBegun = lanes.onBegun
    this.#onEnded = lanes.onEnded
  }

  /**
   * Keeps `control.size` items in flight until all are done. When cancelled it starts no more and waits until those in
   * flight, which are cancelled through their own scope, have ended.
   */
  async drain(items: AsyncIterable<Item> | Iterable<Item>): Promise<void> {
    const lanes = new Set<Promise<void>>()
    try {
      for await (const item of items) {
        await condition(() => !this.#control.paused && this.active.size < this.#control.size)
        lanes.add(this.#lane(item))
      }
    } finally {
      await CancellationScope.nonCancellable(() => settleAll(lanes))
    }
  }

  async #lane(item: Item): Promise<void> {
    this.active.add(item)
    this.#onBegun()
    try {
      await this.#work(item)
    } finally {
      this.active.delete(item)
    }
    await this.#onEnded()
  }
}

/** Waits for all, then throws the first error, so that nobody is left running unwatched. */
export async function settleAll(pending: Iterable<Promise<unknown>>): Promise<void> {
  const results = await Promise.allSettled(pending)
  const broken = results.find((result) => result.status === 'rejected')
  if (broken !== undefined) throw broken.reason
}
