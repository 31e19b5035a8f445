import type { PoolClient } from './pool-client.ts'
import type { Slot } from './slot.ts'

/** A lease is renewed this often while it lives: two renewals may go wrong. */
const renewalsPerLease = 3

interface Kept {
  readonly slot: Slot
  readonly pool: PoolClient
}

/**
 * Renews the leases of this process's slots for as long as it lives; when it dies, they run out. A slot whose lease turns
 * out to be lost is ended, so that nothing is asked of it any more.
 */
export class KeptLeases {
  readonly #kept = new Map<string, Kept>()
  readonly #everyMs: number
  #timer: NodeJS.Timeout | undefined

  constructor(leaseMs: number) {
    this.#everyMs = leaseMs / renewalsPerLease
  }

  /** The slot of this lease that is known already, or the new one, which is renewed from now on. */
  add(slot: Slot, pool: PoolClient): Slot {
    const known = this.#kept.get(slot.id)?.slot
    if (known !== undefined && known.ended === undefined) return known
    this.#kept.set(slot.id, { slot, pool })
    // The process may end for want of anything else to do: then nobody needs the lease.
    this.#timer ??= setInterval(() => void this.#renew(), this.#everyMs).unref()
    return slot
  }

  remove(slot: Slot): void {
    this.#kept.delete(slot.id)
    if (this.#kept.size > 0) return
    clearInterval(this.#timer)
    this.#timer = undefined
  }

  /** @returns all of them, with their pools */
  all(): readonly Kept[] {
    return [...this.#kept.values()]
  }

  close(): void {
    for (const { slot } of this.all()) this.remove(slot)
  }

  async #renew(): Promise<void> {
    const byPool = Map.groupBy(this.all(), ({ pool }) => pool)
    await Promise.all([...byPool].map(([pool, kept]) => renewOf(pool, kept, (slot) => this.remove(slot))))
  }
}

async function renewOf(pool: PoolClient, kept: readonly Kept[], remove: (slot: Slot) => void): Promise<void> {
  // A server that is away is asked again by the pool's client; a pool that has ended answers with an error.
  const answers = await pool.renew(kept.map(({ slot }) => slot)).catch(() => undefined)
  for (const [index, { slot }] of kept.entries()) {
    const answer = answers?.[index]
    if (answer === undefined ? answers !== undefined : answer.state === 'held') continue
    slot.end(answer?.state === 'lost' ? answer.reason : 'unknown')
    remove(slot)
  }
}
