/** Times of pools, in milliseconds, each with its reason. */
export const poolTiming = {
  /** A lease that nobody says otherwise about; clients renew three times as often. */
  leaseMs: 60_000,
  /** A lease that has expired is left alone this much longer: its holder may be about to renew it. */
  graceMs: 5_000,
  /** Who has not asked again for this long is no longer in the queue. */
  askedWithinMs: 10_000,
  /** An acquire update that finds nothing waits this long at most: the workflow must be able to continue as new. */
  longestWaitMs: 2_000,
  /** The pool wakes this much later than it wanted to: nobody served it meanwhile, and nobody could renew. */
  outageMs: 2_000,
  /** A sandbox that has ended by itself is noticed after this long, unless somebody who uses it says so. */
  checkEveryMs: 30_000,
  /** A lease that lives as long as a workflow is looked after this often. */
  holderCheckEveryMs: 60_000,
  /** After a failure that would be the same again; after others it doubles from the first to the second. */
  retryFinalMs: 30_000,
  retryFirstMs: 1_000,
  retryLastMs: 30_000,
  /** No new leases in this share of a sandbox's life, at its end, or in this long if that is less. */
  drainShare: 0.2,
  drainMs: 600_000,
} as const

/** Sandboxes that are being made at the same time. */
export const makingAtOnce = 20
/** Updates that wait at the same time: a server allows ten in flight. */
export const waitingAtOnce = 4
/** Ended leases that are remembered for holders that still renew them. */
export const endedRemembered = 200
/** Checks in a row that nobody has begun in time, until a place counts as lost: the first may be of a time without workers. */
export const missesUntilLost = 2
