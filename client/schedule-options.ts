import { createHash } from 'node:crypto'
import { resolve } from 'node:path'
import { RollcallError } from '../protocol/failure.ts'
import { jobIdPattern, scheduleNamePattern } from '../protocol/names.ts'
import { lastGoodBaseline, scheduleConfigSchema } from '../protocol/schedule.ts'
import type { ScheduleConfig } from '../protocol/schedule.ts'
import { scheduleConfigKey } from '../store/keys.ts'
import type { RunOptions } from './run-options.ts'
import type { JobOptions } from '../protocol/job.ts'

/** What a schedule does beside running its taskset. The options of the run itself are those of `Taskset.run`. */
export interface ScheduleOptions extends Omit<RunOptions, 'job' | 'worker'> {
  /** Letters, digits, `-` and `_`, at most 60; job ids begin with it. */
  readonly name: string
  /** Five fields, `0 3 * * *`, or `@daily` and its like, as Temporal reads them. */
  readonly cron: string
  /** IANA name. Default UTC. A time that daylight saving skips does not come; one that comes twice, runs twice. */
  readonly timeZone?: string
  /** `last-good` (default): the latest earlier job that was comparable and not worse; or the id of a job. */
  readonly baseline?: string
  /** A mean below it is said with the verdict. */
  readonly failUnder?: number
  /** Share of rollouts, 0 to 1, that may have failed for jobs to be comparable. Default 0.1. */
  readonly maxFailedShare?: number
  /** A file on the worker: one line of JSON for each job. */
  readonly notifyFile?: string
  /** An address to which the worker posts the verdict; `${NAME}` comes from the worker's environment. */
  readonly notifyUrl?: string
  /** A start that the server missed is made up for within this time. Default 1 h. */
  readonly catchupWindowMs?: number
  /** Each start is put off by a random time up to this. Default 0. */
  readonly jitterMs?: number
  /** A directory on the workers that is read at each start, instead of the copy that is uploaded now. */
  readonly workerPath?: string
}

const defaults = {
  timeZone: 'UTC',
  catchupWindowMs: 3_600_000,
  jitterMs: 0,
  maxFailedShare: 0.1,
  baseline: lastGoodBaseline,
}
/** Temporal's own minimum. */
const leastCatchupWindowMs = 10_000

/**
 * The configuration that every job of the schedule is made from, checked.
 * @throws RollcallError `configuration-invalid`, one sentence
 */
export function scheduleConfig(options: ScheduleOptions, job: JobOptions): ScheduleConfig {
  const given = { ...defaults, ...definedFields(options) }
  assertTimes(given)
  const { name, cron, timeZone, catchupWindowMs, jitterMs, baseline, maxFailedShare } = given
  if (!jobIdPattern.test(baseline)) throw wrong('baseline', baseline, 'last-good or the id of a job')
  if (!(maxFailedShare >= 0 && maxFailedShare <= 1)) throw wrong('maxFailedShare', maxFailedShare, 'from 0 to 1')
  const { failUnder, notifyFile, notifyUrl, workerPath } = options
  if (notifyUrl !== undefined) assertUrl(notifyUrl)
  return scheduleConfigSchema.parse({
    version: 1,
    schedule: name,
    options: job,
    cron,
    timeZone,
    catchupWindowMs,
    jitterMs,
    baseline,
    maxFailedShare,
    failUnder,
    notifyUrl,
    ...(notifyFile === undefined ? {} : { notifyFile: resolve(notifyFile) }),
    ...(workerPath === undefined ? {} : { workerPath: resolve(workerPath) }),
  })
}

/** Key and bytes of a configuration in the store. */
export function storedConfig(config: ScheduleConfig): { key: string; bytes: Buffer } {
  const bytes = Buffer.from(JSON.stringify(config))
  return { key: scheduleConfigKey(createHash('sha256').update(bytes).digest('hex')), bytes }
}

function assertTimes(given: Required<Pick<ScheduleOptions, 'name' | 'cron' | keyof typeof defaults>>): void {
  const { name, cron, timeZone, catchupWindowMs, jitterMs } = given
  if (!scheduleNamePattern.test(name)) throw wrong('name', name, 'letters, digits, - and _, at most 60')
  if (!isCron(cron)) throw wrong('cron', cron, 'five fields such as "0 3 * * *", or @hourly, @daily, @weekly')
  if (!isTimeZone(timeZone)) throw wrong('time zone', timeZone, 'an IANA name such as Europe/Berlin')
  if (!(catchupWindowMs >= leastCatchupWindowMs))
    throw wrong('catch-up window', `${catchupWindowMs} ms`, 'at least 10 s')
  if (!(jitterMs >= 0)) throw wrong('jitter', `${jitterMs} ms`, '0 or more')
}

function definedFields<Options extends object>(options: Options): Options {
  return Object.fromEntries(Object.entries(options).filter(([, value]) => value !== undefined)) as Options
}

function isCron(cron: string): boolean {
  return /^@(hourly|daily|midnight|weekly|monthly|yearly|annually)$/.test(cron) || /^\S+( +\S+){4,6}$/.test(cron.trim())
}

function isTimeZone(timeZone: string): boolean {
  try {
    return new Intl.DateTimeFormat('en', { timeZone }).resolvedOptions().timeZone !== ''
  } catch {
    return false
  }
}

function assertUrl(url: string): void {
  const filled = url.replaceAll(/\$\{\w+\}/g, 'x')
  if (!/^https?:$/.test(URL.parse(filled)?.protocol ?? '')) throw wrong('notify-url', url, 'an http or https address')
}

function wrong(field: string, value: string | number, expected: string): RollcallError {
  return new RollcallError(
    'configuration-invalid',
    `The schedule's ${field} is ${JSON.stringify(value)}: expected ${expected}`,
  )
}
