import { z } from 'zod'
import { jobOptionsSchema } from './job.ts'
import { scheduleNamePattern } from './names.ts'

/** Schemas of what crosses process boundaries about nightly benchmarks. Workflows import only the types. */

/** The baseline that is the latest earlier job that was comparable and not worse. */
export const lastGoodBaseline = 'last-good'

/** What every job of a schedule is made from; content-addressed, so that an update never changes a job's past. */
export const scheduleConfigSchema = z.object({
  version: z.literal(1),
  schedule: z.string().regex(scheduleNamePattern),
  /** Five fields or `@daily` and its like, as Temporal reads them. */
  cron: z.string(),
  /** IANA name. */
  timeZone: z.string(),
  /** A start that the server missed is made up for within this time. */
  catchupWindowMs: z.number().int(),
  /** Each start is put off by a random time up to this. */
  jitterMs: z.number().int().min(0),
  /** Everything that defines each job; its tasks are the copies in the store, unless `workerPath` is there. */
  options: jobOptionsSchema,
  /** A directory on the workers, read at each start instead of the uploaded copies. */
  workerPath: z.string().optional(),
  /** `lastGoodBaseline` or the id of a job. */
  baseline: z.string(),
  /** A mean below it is said with the verdict. */
  failUnder: z.number().optional(),
  /** Share of rollouts, 0 to 1, that may have failed in either job for them to be comparable. */
  maxFailedShare: z.number().min(0).max(1),
  /** On the worker: a line of JSON is appended for each job. */
  notifyFile: z.string().optional(),
  /** On the worker: the verdict is posted to it as JSON; `${NAME}` is looked up in the worker's environment. */
  notifyUrl: z.string().optional(),
})

export type ScheduleConfig = z.infer<typeof scheduleConfigSchema>

/** Whether somebody is told each verdict. */
export function notifies({ notifyFile, notifyUrl }: Pick<ScheduleConfig, 'notifyFile' | 'notifyUrl'>): boolean {
  return notifyFile !== undefined || notifyUrl !== undefined
}

/** What a scheduled job is beside its baseline. */
export const verdicts = ['better', 'same', 'worse', 'not-comparable'] as const
/** One of the verdicts. */
export type Verdict = (typeof verdicts)[number]

/** Which start of which schedule a job belongs to. */
export interface ScheduledStart {
  readonly schedule: string
  /** Store key of the `ScheduleConfig`. */
  readonly config: string
  /** ISO 8601 in UTC with whole seconds: when it was due. */
  readonly scheduledAt: string
}

/** How one task did, for a person: means of both jobs, each absent where nothing was graded. */
export interface TaskChange {
  readonly task: string
  readonly change: 'better' | 'worse' | 'changed' | 'added' | 'removed'
  readonly before?: number
  readonly now?: number
}

/** What one job of a schedule came to; `schedules/<name>/<scheduled time>` in the store, written once. */
export interface ScheduleVerdict {
  readonly version: 1
  readonly schedule: string
  readonly scheduledAt: string
  readonly job: string
  readonly verdict: Verdict
  /** One sentence. */
  readonly reason: string
  /** Whether the mean is below the schedule's `failUnder`. */
  readonly belowThreshold: boolean
  /** Whether a later job may be compared with this one: enough was graded, and it is not worse. */
  readonly isBaseline: boolean
  readonly baseline?: string
  readonly mean?: number
  readonly graded: number
  readonly failed: number
  /** Mean difference over the tasks that both jobs have graded, with its 95 % interval and p value. */
  readonly difference?: { readonly mean: number; readonly low?: number; readonly high?: number; readonly p: number }
  /** Tasks that did otherwise than before, the worse ones first. */
  readonly tasks: readonly TaskChange[]
  /** ISO 8601. */
  readonly judgedAt: string
}
