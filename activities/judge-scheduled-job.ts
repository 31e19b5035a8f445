import type { JudgeInput, JudgeResult } from '../protocol/activities.ts'
import { lastGoodBaseline } from '../protocol/schedule.ts'
import type { ScheduleConfig, ScheduleVerdict } from '../protocol/schedule.ts'
import { readJobResults } from '../results/read-job.ts'
import { describeVerdict, judge } from '../results/verdict.ts'
import type { JudgedJob } from '../results/verdict.ts'
import { readVerdicts } from '../results/schedule-history.ts'
import { verdictKey } from '../store/keys.ts'
import type { Store } from '../store/store.ts'
import { getJson, putJsonOnce } from '../store/stored-json.ts'
import { readScheduleConfig } from './prepare-scheduled-job.ts'

/** Compares a scheduled job with its baseline. Safe to run twice: the verdict is `putOnce`, and a stored one counts. */
export async function judgeScheduledJob(input: JudgeInput, store: Store): Promise<JudgeResult> {
  const key = verdictKey(input)
  const known = await getJson<ScheduleVerdict>(store, key)
  const verdict = known ?? (await putJsonOnce(store, key, await judgeNow(input, store)))
  return { verdict: verdict.verdict, details: describeVerdict(verdict) }
}

async function judgeNow(input: JudgeInput, store: Store): Promise<ScheduleVerdict> {
  const { schedule, scheduledAt, job, failure } = input
  const config = await readScheduleConfig(store, input.config)
  const baseline = await findBaseline({ config, scheduledAt, store })
  const now: JudgedJob = { job, results: await readJobResults(store, job) }
  return {
    version: 1,
    schedule,
    scheduledAt,
    judgedAt: new Date().toISOString(),
    ...judge({ config, now, ...(failure === undefined ? {} : { failure }), ...(baseline && { baseline }) }),
  }
}

/** The job to compare with. Undefined: there is none yet. */
async function findBaseline(at: {
  config: ScheduleConfig
  scheduledAt: string
  store: Store
}): Promise<JudgedJob | undefined> {
  const { config, scheduledAt, store } = at
  const { baseline } = config
  const job = baseline === lastGoodBaseline ? await lastGood(config.schedule, scheduledAt, store) : baseline
  return job === undefined ? undefined : { job, results: await readJobResults(store, job) }
}

/** The latest job before that time that was graded and is not worse than its own baseline. */
async function lastGood(schedule: string, before: string, store: Store): Promise<string | undefined> {
  const earlier = (await readVerdicts(store, schedule)).filter(({ scheduledAt }) => scheduledAt < before)
  return earlier.findLast(({ isBaseline }) => isBaseline)?.job
}
