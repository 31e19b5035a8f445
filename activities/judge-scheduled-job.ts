import type { VerdictInput, VerdictResult } from '../protocol/activities.ts'
import { lastGoodBaseline, notifies } from '../protocol/schedule.ts'
import type { ScheduleConfig, ScheduleVerdict } from '../protocol/schedule.ts'
import { storedJob } from '../results/compared-job.ts'
import { findJobOptions, readPlan } from '../results/read-job.ts'
import { describeVerdict, giveVerdict } from '../results/verdict.ts'
import type { JudgedJob } from '../results/verdict.ts'
import { readVerdicts } from '../results/schedule-history.ts'
import { verdictKey } from '../store/keys.ts'
import type { Store } from '../store/store.ts'
import { getJson, putJsonOnce } from '../store/stored-json.ts'
import { readScheduleConfig } from './prepare-scheduled-job.ts'

/** Compares a scheduled job with its baseline. Safe to run twice: the verdict is `putOnce`, and a stored one counts. */
export async function judgeScheduledJob(input: VerdictInput, store: Store): Promise<VerdictResult> {
  const key = verdictKey(input)
  const known = await getJson<ScheduleVerdict>(store, key)
  const config = await readScheduleConfig(store, input.config)
  const verdict = known ?? (await putJsonOnce(store, key, await judgeNow(input, { config, store })))
  return { verdict: verdict.verdict, details: describeVerdict(verdict), notifies: notifies(config) }
}

async function judgeNow(
  input: VerdictInput,
  { config, store }: { config: ScheduleConfig; store: Store },
): Promise<ScheduleVerdict> {
  const { schedule, scheduledAt, job, failure } = input
  const baseline = await findBaseline({ config, scheduledAt, store })
  const now = await judgedJob(store, job)
  return {
    version: 1,
    schedule,
    scheduledAt,
    judgedAt: new Date().toISOString(),
    ...giveVerdict({ config, now, ...(failure === undefined ? {} : { failure }), ...(baseline && { baseline }) }),
  }
}

/** The job to compare with. Undefined: there is none yet. */
async function findBaseline(at: {
  config: ScheduleConfig
  scheduledAt: string
  store: Store
}): Promise<JudgedJob | undefined> {
  const { config, scheduledAt, store } = at
  const job =
    config.baseline === lastGoodBaseline ? await lastGood(at.config.schedule, scheduledAt, store) : config.baseline
  return job === undefined ? undefined : await judgedJob(store, job)
}

/** One that was never planned has no rollouts. */
async function judgedJob(store: Store, job: string): Promise<JudgedJob> {
  const [options, plan] = await Promise.all([findJobOptions(store, job), readPlan(store, job)])
  const unplanned = { name: job, format: 'rollcall', finished: false, rollouts: [] } as const
  const compared = plan === undefined ? unplanned : await storedJob(store, job)
  return { ...compared, agentKinds: options?.agents.map(({ kind }) => kind) ?? [] }
}

/** The latest job before that time that was graded and is not worse than its own baseline. */
async function lastGood(schedule: string, before: string, store: Store): Promise<string | undefined> {
  const earlier = (await readVerdicts(store, schedule)).filter(({ scheduledAt }) => scheduledAt < before)
  return earlier.findLast(({ isBaseline }) => isBaseline)?.job
}
