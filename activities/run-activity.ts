import { ApplicationFailure, Context } from '@temporalio/activity'
import { ApplicationFailureCategory } from '@temporalio/common'
import { failureKinds, RollcallError } from '../protocol/failure.ts'
import type { HandedOver } from '../protocol/activities.ts'
import { readNote } from '../protocol/activity-note.ts'
import type { ActivityNote } from '../protocol/activity-note.ts'
import { timing } from '../workflows/timing.ts'
import { AgentTime } from './agent-time.ts'
import { graceMs, untilAborted } from './until-aborted.ts'
import type { LettingGo } from './until-aborted.ts'

/** A bug is tried again in case it was a blip, but not for ever. */
const attemptsForBugs = 5

/** What enters a history must be small: keys, never contents. */
const maxPayloadBytes = 256 * 1024

export interface ActivityScope {
  /**
   * Aborts for every reason to let go: cancelled, timed out, paused, reset, or the worker shuts down. Letting go never
   * stops a command: release does that.
   */
  readonly signal: AbortSignal
  /** What the next heartbeats say, until there is something else to say. */
  readonly note: (note: ActivityNote) => void
  /** What the attempt before this one said last. */
  readonly earlier: ActivityNote | undefined
  /** Begun by activities that take an agent's time; told with every heartbeat. */
  readonly time: AgentTime
}

/**
 * For activities that another worker can go on with: answers `handedOver` when this worker shuts down, so that no attempt
 * is burnt. Work that does not let go is left behind.
 */
export async function runActivity<Result>(
  handover: AbortSignal,
  work: (scope: ActivityScope) => Promise<Result>,
): Promise<Result | HandedOver> {
  return await runHandedOver(handover, (scope) => untilAborted(scope.signal, work(scope)))
}

/**
 * As `runActivity`, for work that makes something outside, which letting go does not undo. When its job is cancelled it
 * is seen through, so that one that ends as cancelled has nothing on its way any more. Where that is not certain (it
 * takes longer than `settleMs`, its answer was lost, an attempt before it may have left something) the activity fails
 * with the code `cancelled` instead.
 */
export async function runMakingActivity<Result>(
  handover: AbortSignal,
  work: (scope: ActivityScope) => Promise<Result>,
  settleMs: number = timing.lateCreateMs,
): Promise<Result | HandedOver> {
  const context = Context.current()
  const isCancelled = (): boolean => context.cancellationDetails?.cancelRequested === true
  return await runHandedOver(handover, async ({ signal, ...scope }) => {
    const lettingGo = (): LettingGo => ({
      afterMs: isCancelled() ? settleMs : graceMs,
      error: new Error('left behind'),
    })
    try {
      return await untilAborted(signal, work({ signal, ...scope }), lettingGo)
    } catch (error) {
      if (!isCancelled() || (error === signal.reason && context.info.attempt === 1)) throw error
      throw ApplicationFailure.nonRetryable('Cancelled while something was being made', 'cancelled')
    }
  })
}

async function runHandedOver<Result>(
  handover: AbortSignal,
  work: (scope: ActivityScope) => Promise<Result>,
): Promise<Result | HandedOver> {
  return await runWholeActivity(async (scope) => {
    try {
      return await work({ ...scope, signal: AbortSignal.any([scope.signal, handover]) })
    } catch (error) {
      if (error instanceof ApplicationFailure) throw error
      if (handover.aborted && !scope.signal.aborted) return { handedOver: true, tookMs: scope.time.tookMs }
      throw error
    }
  })
}

/**
 * The boundary between an activity and Temporal: heartbeats while `work` runs, and turns failures into data by the one
 * table. By itself for activities that are short or must end what they began: they are not handed over.
 * @param options.attempts from which attempt on a failure is final that the table lets try again. Default: never
 */
export async function runWholeActivity<Result>(
  work: (scope: ActivityScope) => Promise<Result>,
  { attempts = Infinity }: { attempts?: number } = {},
): Promise<Result> {
  const context = Context.current()
  const earlier = readNote(context.info.heartbeatDetails)
  const time = new AgentTime(earlier?.tookMs)
  let latest: ActivityNote = earlier ?? { execs: [] }
  const note = (said: ActivityNote): void => void (latest = said)
  const ticking = setInterval(
    () => context.heartbeat(time.tookMs === 0 ? latest : { ...latest, tookMs: time.tookMs }),
    timing.heartbeatTickMs,
  )
  try {
    return assertSmall(await work({ signal: context.cancellationSignal, note, earlier, time }))
  } catch (error) {
    if (error instanceof ApplicationFailure) throw error
    if (context.cancellationSignal.aborted) return await context.cancelled
    throw asApplicationFailure(error, context.info.attempt, attempts)
  } finally {
    clearInterval(ticking)
  }
}

function assertSmall<Result>(result: Result): Result {
  const bytes = Buffer.byteLength(JSON.stringify(result) ?? '')
  if (bytes <= maxPayloadBytes) return result
  throw new RollcallError(
    'payload-too-large',
    `An activity’s result is ${bytes} bytes: expected at most ${maxPayloadBytes}; contents belong in the store`,
  )
}

function mayTryAgain({ code, isFinal }: RollcallError): boolean {
  return failureKinds[code].retry && !isFinal
}

/** Code, retryability and delay as Temporal wants them. Exported for its test. */
export function asApplicationFailure(error: unknown, attempt: number, attempts = Infinity): ApplicationFailure {
  if (error instanceof ApplicationFailure) return error
  const failure = error instanceof RollcallError ? error : undefined
  const message = error instanceof Error ? error.message : String(error)
  const retry = attempt < attempts && (failure ? mayTryAgain(failure) : attempt < attemptsForBugs)
  return ApplicationFailure.create({
    type: failure?.code ?? 'internal',
    message: message.slice(0, 2_000),
    nonRetryable: !retry,
    ...(failure?.retryAfterMs === undefined ? {} : { nextRetryDelay: failure.retryAfterMs }),
    ...(failure?.code === 'provider-busy' ? { category: ApplicationFailureCategory.BENIGN } : {}),
    ...(error instanceof Error ? { cause: error } : {}),
  })
}
