import { setTimeout as delay } from 'node:timers/promises'
import type { Ended } from '../../cli/fixtures/rollcall-process.ts'
import { jobKey } from '../../store/keys.ts'
import type { ChaosSite } from './chaos-site.ts'
import type { FaultKind, PlannedFault } from './fault-plan.ts'
import { injectWithin } from './inject.ts'
import type { Hit, Target } from './inject.ts'
import { KeptProcess } from './kept-process.ts'
import { countMilestones } from './milestones.ts'

const lookEveryMs = 150
/** A fault that finds nothing to hit for this long is left out. */
const findWithinMs = 3_000
/** A job that gets nothing done for this long is stuck: no outage lasts longer than seconds. */
const stuckAfterMs = 120_000

export interface InjectedFault extends Omit<Hit, 'undo'> {
  readonly kind: FaultKind
  /** Until the job got something done again; absent when it never did. */
  wentOnAfterMs?: number
}

export interface StormEnd {
  readonly injected: readonly InjectedFault[]
  /** The end of the command that was left to end; undefined when the job was stuck. */
  readonly ended: Ended | undefined
  readonly commandStarts: number
  readonly workerStarts: number
  /** Sandboxes that were there when the command had said that the job is over. */
  readonly leftAtEnd: readonly string[]
}

/** One job from its start to its end, under the faults of a plan. */
export class Storm {
  readonly #site: ChaosSite
  readonly #job: string
  readonly #total: number
  readonly #command: KeptProcess
  readonly #log: (line: string) => void
  readonly #injected: InjectedFault[] = []
  readonly #undoing = new Set<Promise<void>>()
  #target: Target
  #milestones = 0
  #changedAt = Date.now()
  #ended: Ended | undefined
  #leftAtEnd: string[] = []
  readonly #cancelAtShare: number
  #cancelling: KeptProcess | undefined

  /**
   * @param total milestones of the same job without faults
   * @param cancelAtShare at which somebody cancels the job. Default: never
   */
  constructor(site: ChaosSite, { job, total, cancelAtShare }: { job: string; total: number; cancelAtShare?: number }) {
    this.#site = site
    this.#job = job
    this.#total = total
    this.#log = site.options.log
    const { env } = site.environment
    // A signal that the storm has sent is no end; neither is a server that did not answer at the start.
    const isDone = ({ code }: Ended) => code === 0 || code === 1 || (code === 130 && this.#cancelling !== undefined)
    this.#command = new KeptProcess({ args: site.runArgs(job), env, isDone })
    void this.#command.done.then(async (ended) => {
      this.#leftAtEnd = (await site.place.sandboxes(job)).map(({ name }) => name)
      this.#ended = ended
    })
    this.#cancelAtShare = cancelAtShare ?? Infinity
    this.#target = { site, job, command: this.#command, paused: new Set(), lost: new Set() }
  }

  /** Until the job has ended, or is stuck. */
  async rage(plan: readonly PlannedFault[]): Promise<StormEnd> {
    await this.#until(async () => (await this.#site.store.get(jobKey(this.#job))) !== undefined)
    const helpers = [this.#startHelper(), this.#startHelper()]
    try {
      for (const fault of plan) await this.#bringAbout(fault)
      await Promise.all(this.#undoing)
      await this.#until(() => this.#ended !== undefined)
      const commandStarts = this.#command.starts
      const workerStarts = helpers.reduce((sum, { starts }) => sum + starts, 0)
      await this.#cancelling?.done
      const [injected, ended, leftAtEnd] = [this.#injected, this.#ended, this.#leftAtEnd]
      return { injected, ended, commandStarts, workerStarts, leftAtEnd }
    } finally {
      if (this.#ended === undefined) {
        this.#command.giveUp()
        this.#cancelling?.giveUp()
        for (const helper of helpers) helper.giveUp()
      }
    }
  }

  /** A worker beside the job's own, as a service manager would keep it: it ends by itself when the job is over. */
  #startHelper(): KeptProcess {
    const { env } = this.#site.environment
    const isDone = () => this.#ended !== undefined
    return new KeptProcess({ args: ['worker', '--job', this.#job], env, isDone })
  }

  async #bringAbout(fault: PlannedFault): Promise<void> {
    await this.#until(() => this.#ended !== undefined || this.#isReached(fault.atShare))
    await delay(fault.gapMs)
    if (this.#isOver()) return
    const hit = await injectWithin(fault, this.#target, findWithinMs)
    if (hit === undefined) return this.#log(`${this.#clock()} ${fault.kind}: nothing to hit`)
    this.#log(`${this.#clock()} ${fault.kind}: ${hit.what}`)
    const { undo, ...injected } = hit
    const record: InjectedFault = { kind: fault.kind, ...injected }
    this.#injected.push(record)
    this.#undoing.add(this.#noteGoingOn(record))
    if (undo !== undefined) this.#undoing.add(delay(fault.lastsMs).then(undo))
  }

  /** A cancelled job reaches nothing more: what is left of the plan hits its teardown. */
  #isReached(share: number): boolean {
    if (this.#milestones >= this.#cancelAtShare * this.#total) this.#cancelling ??= this.#cancel()
    return this.#cancelling !== undefined || this.#milestones >= share * this.#total
  }

  #cancel(): KeptProcess {
    this.#log(`${this.#clock()} rollcall cancel ${this.#job}`)
    const { env } = this.#site.environment
    return new KeptProcess({ args: ['cancel', this.#job], env, isDone: ({ code }) => code === 0 })
  }

  async #noteGoingOn(fault: InjectedFault): Promise<void> {
    const [startedAt, before] = [Date.now(), await countMilestones(this.#site.store, this.#job)]
    while (!this.#isOver()) {
      if ((await countMilestones(this.#site.store, this.#job)) > before) break
      await delay(lookEveryMs)
    }
    if (!this.#isStuck()) fault.wentOnAfterMs = Date.now() - startedAt
  }

  async #until(isReached: () => boolean | Promise<boolean>): Promise<void> {
    for (;;) {
      const milestones = await countMilestones(this.#site.store, this.#job)
      if (milestones !== this.#milestones) this.#changedAt = Date.now()
      this.#milestones = milestones
      if (this.#isStuck() || (await isReached())) return
      await delay(lookEveryMs)
    }
  }

  #isOver(): boolean {
    return this.#ended !== undefined || this.#isStuck()
  }

  #isStuck(): boolean {
    return Date.now() - this.#changedAt > stuckAfterMs
  }

  #clock(): string {
    return `${new Date().toISOString().slice(11, 23)} [${this.#milestones}/${this.#total}]`
  }
}
