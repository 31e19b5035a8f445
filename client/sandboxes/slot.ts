import { createHash } from 'node:crypto'
import { RollcallError } from '../../protocol/failure.ts'
import type { LeaseEnd, SlotLease } from '../../protocol/pool.ts'
import type { Runner } from '../../runner/runner.ts'
import { ExecNumbers, type ExecPlace } from './exec-numbers.ts'
import type { SlotRunners } from './slot-runners.ts'

/** How many answered calls the runner keeps at least, before it is told that it may forget them. */
const callsPerMark = 16

const endings: Readonly<Record<LeaseEnd, string>> = {
  released: 'it was released',
  expired: 'it was not renewed in time',
  'sandbox-lost': 'its sandbox was lost',
  unknown: 'its pool does not know it any more',
}

/** A slot as its holder knows it: the right to work in one workspace, until it is released or lost. */
export class Slot {
  /** Of the lease: never the same again, for whomever. */
  readonly id: string
  readonly holder: string
  readonly profile: string
  /** Absolute, in the sandbox. Commands begin there, and relative paths too. */
  readonly workspace: string
  readonly sandbox: string
  /** The workspace has files of an earlier lease of this holder. */
  readonly hasFiles: boolean
  readonly lease: SlotLease
  readonly #runners: SlotRunners
  readonly #numbers: ExecNumbers
  #queue: Promise<unknown> = Promise.resolve()
  #attached: Promise<{ runner: Runner; letGo: () => void }> | undefined
  #ended: LeaseEnd | undefined
  #uses = 0
  readonly #requests = new Map<string, string>()

  constructor(lease: SlotLease, runners: SlotRunners) {
    this.id = lease.id
    this.holder = lease.holder
    this.profile = lease.profile
    this.workspace = lease.workspace
    this.sandbox = lease.sandbox
    this.hasFiles = lease.hasFiles
    this.lease = lease
    this.#runners = runners
    this.#numbers = new ExecNumbers(lease)
  }

  /** Why it can no longer be used; undefined while it can, as far as is known. */
  get ended(): LeaseEnd | undefined {
    return this.#ended
  }

  /** Nothing can be asked of it any more; what runs in it is not touched by this. */
  end(reason: LeaseEnd): void {
    this.#ended ??= reason
    void this.#attached?.then(({ letGo }) => letGo()).catch(() => undefined)
    this.#attached = undefined
  }

  /** By number, which the runner need not look up for every command; absent: the sandbox's user. */
  get user(): string | undefined {
    return this.lease.user === undefined ? undefined : String(this.lease.user.uid)
  }

  /** @throws RollcallError `lease-lost` */
  assertHeld(): void {
    if (this.#ended === undefined) return
    const message = `Slot ${this.holder} of profile ${this.profile} is no longer held: ${endings[this.#ended]}`
    throw new RollcallError('lease-lost', message)
  }

  /** Whether a request id stands for this request, as far as this process has heard. */
  isSame(requestId: string, request: string): boolean {
    const sum = createHash('sha256').update(request).digest('base64')
    const known = this.#requests.get(requestId) ?? sum
    this.#requests.set(requestId, known)
    return known === sum
  }

  /** Lets calls of one slot follow each other, as those of one trajectory mean it. */
  async inTurn<Result>(work: () => Promise<Result>): Promise<Result> {
    const turn = this.#queue.then(work, work)
    this.#queue = turn.catch(() => undefined)
    return await turn
  }

  /**
   * Uses the slot for one request. The same text of a request with an id gets the same exec ids, also from another process.
   * @throws RollcallError `lease-lost`, `host-lost`, `sandbox-lost`, `provider-unavailable`
   */
  async use<Result>(
    request: string | undefined,
    work: (runner: Runner, place: ExecPlace) => Promise<Result>,
  ): Promise<Result> {
    this.assertHeld()
    const runner = await this.#runner()
    this.assertHeld()
    const place = this.#numbers.next(request)
    // The first of a lease lets the runner forget earlier ones; to forget after each call would cost as much as the call.
    if (this.#uses % callsPerMark === 0) runner.acknowledge(this.#numbers.mark())
    this.#uses += 1
    try {
      return await work(runner, place)
    } finally {
      place.done()
    }
  }

  /** As `use`, on an attachment of its own, which waits for a slow reader without holding anybody else up. */
  async useApart<Result>(work: (runner: Runner, place: ExecPlace) => Promise<Result>): Promise<Result> {
    this.assertHeld()
    const runner = await this.#runners.open(this.lease)
    const place = this.#numbers.next()
    try {
      return await work(runner, place)
    } finally {
      place.done()
      runner.close()
    }
  }

  async #runner(): Promise<Runner> {
    this.#attached ??= this.#runners.take(this.lease).catch((error: unknown) => {
      this.#attached = undefined
      throw error
    })
    return (await this.#attached).runner
  }
}
