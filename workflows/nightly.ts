import {
  ApplicationFailure,
  CancellationScope,
  ChildWorkflowFailure,
  executeChild,
  isCancellation,
  log,
  setCurrentDetails,
  startChild,
  upsertSearchAttributes,
  workflowInfo,
} from '@temporalio/workflow'
import type { JobRef, PreparedJob } from '../protocol/activities.ts'
import { scheduledJobId, searchAttributeNames, sharedTaskQueue } from '../protocol/names.ts'
import type { ScheduledStart, Verdict } from '../protocol/schedule.ts'
import { callActivity } from './activity-stubs.ts'
import { failureOf } from './failure-of.ts'
import type { jobWorkflow, JobWorkflowInput } from './job.ts'
import { activityOptions, timing } from './timing.ts'

/** What a Temporal Schedule starts: the same each time, so the time comes from the schedule itself. */
export interface NightlyInput {
  readonly schedule: string
  /** Store key of the schedule's configuration. */
  readonly config: string
  readonly storeUrl: string
  /** Whether the namespace knows Rollcall's search attributes. */
  readonly searchable: boolean
}

/**
 * One start of a schedule: prepare → job → verdict → `tellWorkflow`. The job judges itself when it ends; one that could
 * not is judged here. A start that is delivered twice finds the job of that time and leaves it alone, also when only the
 * store still knows it.
 */
export async function nightlyWorkflow(input: NightlyInput): Promise<Verdict | 'started-twice'> {
  const { schedule, config, storeUrl, searchable } = input
  const start: ScheduledStart = { schedule, config, scheduledAt: scheduledTime(schedule) }
  const job = scheduledJobId(schedule, start.scheduledAt)
  const ref = { job, storeUrl, ...start }
  setCurrentDetails(`job ${job}`)
  const ended = await runJob(input, start, job)
  if (ended === 'started-twice') return ended
  return await CancellationScope.nonCancellable(async () => {
    const judged = await callActivity(
      'judgeScheduledJob',
      { ...activityOptions.judgeScheduledJob, summary: job },
      { ...ref, ...ended },
    )
    setCurrentDetails(`job ${job}\n\n${judged.details}`)
    if (searchable) {
      const { schedule: name, verdict } = searchAttributeNames
      upsertSearchAttributes([
        { key: { name, type: 'KEYWORD' }, value: schedule },
        { key: { name: verdict, type: 'KEYWORD' }, value: judged.verdict },
      ])
    }
    if (judged.notifies) await startTelling(ref, { searchable, verdict: judged.verdict })
    return judged.verdict
  })
}

/** In a workflow of its own: who hears late, or never, keeps no later start of the schedule waiting. */
async function startTelling(
  ref: JobRef & ScheduledStart,
  { searchable, verdict }: { searchable: boolean; verdict: Verdict },
): Promise<void> {
  await startChild<typeof tellWorkflow>('tellWorkflow', {
    workflowId: `${ref.job}.told`,
    args: [ref],
    parentClosePolicy: 'ABANDON',
    workflowTaskTimeout: timing.workflowTaskTimeoutMs,
    retry: { maximumAttempts: 1 },
    staticSummary: `tells that ${ref.job} is ${verdict}`,
    ...(searchable
      ? {
          typedSearchAttributes: [
            { key: { name: searchAttributeNames.schedule, type: 'KEYWORD' }, value: ref.schedule },
          ],
        }
      : {}),
  })
}

/** Tells whom the schedule names what its job came to. It fails where that cannot be; the verdict stands. */
export async function tellWorkflow(ref: JobRef & ScheduledStart): Promise<void> {
  try {
    await callActivity('notifyVerdict', { ...activityOptions.notifyVerdict, summary: ref.job }, ref)
  } catch (error) {
    if (isCancellation(error)) throw error
    const { code, message } = failureOf(error)
    const said = `The verdict of ${ref.job} was not told to all: ${message}`
    log.warn(said)
    throw ApplicationFailure.nonRetryable(said, code)
  }
}

/** @returns why there is nothing to judge by, where the job failed as a whole */
async function runJob(
  input: NightlyInput,
  start: ScheduledStart,
  job: string,
): Promise<{ failure?: string } | 'started-twice'> {
  try {
    const prepared = await callActivity(
      'prepareScheduledJob',
      { ...activityOptions.prepareScheduledJob, summary: job },
      { job, storeUrl: input.storeUrl, ...start },
    )
    if (prepared.isOver) return 'started-twice'
    await executeJob({ input, start, job, prepared })
    return {}
  } catch (error) {
    if (error instanceof Error && error.name === 'WorkflowExecutionAlreadyStartedError') return 'started-twice'
    // With its worker dead, preparing runs out of time instead of answering that it was cancelled.
    if (isCancellation(error) || CancellationScope.current().consideredCancelled)
      return { failure: 'The job was cancelled.' }
    return { failure: failureOf(error instanceof ChildWorkflowFailure ? error.cause : error).message }
  }
}

async function executeJob(at: {
  input: NightlyInput
  start: ScheduledStart
  job: string
  prepared: PreparedJob
}): Promise<void> {
  const { input, start, job, prepared } = at
  const { storeUrl, searchable, schedule } = input
  const jobInput: JobWorkflowInput = {
    job,
    storeUrl,
    taskQueue: sharedTaskQueue,
    concurrency: prepared.concurrency,
    proofKey: prepared.proofKey,
    searchable,
    sharedProvider: prepared.provider,
    scheduled: start,
  }
  await executeChild<typeof jobWorkflow>('jobWorkflow', {
    workflowId: job,
    args: [jobInput],
    // A job of that id is the same job, whatever became of it.
    workflowIdReusePolicy: 'REJECT_DUPLICATE',
    parentClosePolicy: 'REQUEST_CANCEL',
    cancellationType: 'WAIT_CANCELLATION_COMPLETED',
    workflowTaskTimeout: timing.workflowTaskTimeoutMs,
    retry: { maximumAttempts: 1 },
    memo: { provider: prepared.provider },
    staticSummary: prepared.summary,
    ...(searchable
      ? {
          typedSearchAttributes: [
            { key: { name: searchAttributeNames.job, type: 'KEYWORD' }, value: job },
            { key: { name: searchAttributeNames.schedule, type: 'KEYWORD' }, value: schedule },
          ],
        }
      : {}),
  })
}

/**
 * When this start was due, whole seconds in UTC: a Temporal Schedule puts that behind the workflow's id. For one that no
 * schedule has started, when it began.
 */
function scheduledTime(schedule: string): string {
  const { workflowId, startTime } = workflowInfo()
  const due = new Date(workflowId.slice(schedule.length + 1))
  return (Number.isNaN(due.getTime()) ? startTime : due).toISOString().replace(/\.\d+Z$/, 'Z')
}
