import { defineQuery, defineUpdate } from '@temporalio/workflow'
import type {
  AcquireAnswer,
  AcquireRequest,
  LeaseRef,
  OwnedQuestion,
  PoolStatus,
  ReleaseAnswer,
  ReleaseRequest,
  RenewAnswer,
  ResizeRequest,
  StopRequest,
} from '../protocol/pool.ts'

/** Answers in the order asked. A holder that has a lease gets that lease again. Returns soon, whatever it finds. */
export const acquireSlotsUpdate = defineUpdate<readonly AcquireAnswer[], [AcquireRequest]>('acquireSlots')
/** Answers in the order asked. */
export const renewLeasesUpdate = defineUpdate<readonly RenewAnswer[], [readonly LeaseRef[]]>('renewLeases')
/** Compare-and-set on id and holder; twice is fine. Answers in the order asked. */
export const releaseSlotsUpdate = defineUpdate<readonly ReleaseAnswer[], [readonly ReleaseRequest[]]>('releaseSlots')
/** What is too much goes when nobody has a lease in it. */
export const resizePoolUpdate = defineUpdate<void, [ResizeRequest]>('resizePool')
/** Returns when it has begun; the workflow ends when every sandbox is verified gone. Twice is fine. */
export const stopPoolUpdate = defineUpdate<void, [StopRequest]>('stopPool')

export const poolStatusQuery = defineQuery<PoolStatus>('poolStatus')
export const ownsSandboxQuery = defineQuery<boolean, [OwnedQuestion]>('ownsSandbox')
