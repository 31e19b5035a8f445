import { defaultPayloadConverter } from '@temporalio/common'
import type { WorkflowExecutionDescription } from '@temporalio/client'
import { readNote } from '../protocol/activity-note.ts'
import type { ActivityNote } from '../protocol/activity-note.ts'
import type { RolloutPhase } from '../protocol/names.ts'
import type { RolloutExplanation } from './explanation.ts'

type PendingActivity = NonNullable<WorkflowExecutionDescription['raw']['pendingActivities']>[number]
type Timestamp = PendingActivity['scheduledTime']
type Duration = NonNullable<PendingActivity['activityOptions']>['scheduleToCloseTimeout']

/** The step that a rollout is in, as the server tells it: no worker is asked. */
export interface PendingStep {
  readonly activity: string
  readonly phase: RolloutPhase | 'place'
  readonly state: 'scheduled' | 'started' | 'cancelling' | 'paused'
  readonly attempt: number
  /** When the workflow asked for it, however often it has been tried since. */
  readonly scheduledAt?: Date
  readonly startedAt?: Date
  readonly nextAttemptAt?: Date
  readonly failure?: { readonly code?: string; readonly message: string }
  readonly workerIdentity?: string
  readonly taskQueue?: string
  /** What it said of itself last. */
  readonly note?: ActivityNote
}

const phases: Readonly<Record<string, PendingStep['phase']>> = {
  placeRollout: 'place',
  openRollout: 'open',
  runTurns: 'turns',
  gradeRollout: 'grade',
  recordRollout: 'record',
  releaseSandbox: 'release',
}

/** By the numbers of temporal.api.enums.v1.PendingActivityState. */
const states: Readonly<Record<number, PendingStep['state']>> = {
  1: 'scheduled',
  2: 'started',
  3: 'cancelling',
  4: 'paused',
  5: 'paused',
}

/** @returns undefined between two steps */
export function pendingStep({ raw }: WorkflowExecutionDescription): PendingStep | undefined {
  const [pending] = raw.pendingActivities ?? []
  if (!pending) return undefined
  const { lastStartedTime, nextAttemptScheduleTime, lastWorkerIdentity, activityOptions } = pending
  const activity = pending.activityType?.name ?? 'unknown'
  return {
    activity,
    phase: phases[activity] ?? 'open',
    state: states[Number(pending.state)] ?? 'scheduled',
    attempt: Math.max(1, pending.attempt ?? 1),
    ...known('scheduledAt', scheduledAt(pending)),
    ...known('startedAt', dateOf(lastStartedTime)),
    ...known('nextAttemptAt', dateOf(nextAttemptScheduleTime)),
    ...known('workerIdentity', lastWorkerIdentity || undefined),
    ...known('taskQueue', activityOptions?.taskQueue?.name || undefined),
    ...known('failure', failureOf(pending)),
    ...known('note', noteOf(pending)),
  }
}

/**
 * What is tried again: the step itself, or within it the model's service.
 * @returns undefined where nothing has failed
 */
export function retryOf({ attempt, failure, nextAttemptAt, state, note }: PendingStep): RolloutExplanation['retry'] {
  if (state === 'started' && note?.modelWait !== undefined) {
    const { modelWait } = note
    const nextAt = new Date(modelWait.atMs).toISOString()
    return { attempt: modelWait.attempt, failure: modelWait.failure, nextAt }
  }
  if (attempt === 1 && failure === undefined) return undefined
  const nextAt = state === 'scheduled' ? nextAttemptAt?.toISOString() : undefined
  return { attempt, ...known('failure', failure), ...known('nextAt', nextAt) }
}

/** The first line: what a provider or a worker says may be a page. */
function failureOf({ lastFailure }: PendingActivity): PendingStep['failure'] {
  if (!lastFailure) return undefined
  const [message = ''] = (lastFailure.message ?? '').split('\n', 1)
  const code = lastFailure.applicationFailureInfo?.type || undefined
  return { message, ...known('code', code) }
}

function noteOf({ heartbeatDetails }: PendingActivity): ActivityNote | undefined {
  const [payload] = heartbeatDetails?.payloads ?? []
  if (!payload) return undefined
  try {
    return readNote(defaultPayloadConverter.fromPayload(payload))
  } catch {
    // Encrypted by a codec that this client does not have.
    return undefined
  }
}

/** The server's scheduled time is that of the next attempt, which may be to come; the step's own limit begins with it. */
function scheduledAt({ scheduledTime, expirationTime, activityOptions }: PendingActivity): Date | undefined {
  const expiresMs = dateOf(expirationTime)?.getTime()
  const limitMs = millisecondsOf(activityOptions?.scheduleToCloseTimeout)
  return expiresMs === undefined || limitMs === 0 ? dateOf(scheduledTime) : new Date(expiresMs - limitMs)
}

function millisecondsOf(time: Timestamp | Duration): number {
  return Number(time?.seconds ?? 0) * 1_000 + Math.floor((time?.nanos ?? 0) / 1_000_000)
}

function dateOf(time: Timestamp): Date | undefined {
  const milliseconds = millisecondsOf(time)
  return milliseconds === 0 ? undefined : new Date(milliseconds)
}

/** `{ [key]: value }`, or nothing where there is no value. */
export function known<Key extends string, Value>(key: Key, value: Value | undefined): Partial<Record<Key, Value>> {
  if (value === undefined) return {}
  const record: Partial<Record<Key, Value>> = {}
  record[key] = value
  return record
}
