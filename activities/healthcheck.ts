import { setTimeout as delay } from 'node:timers/promises'
import { RollcallError } from '../protocol/failure.ts'
import { longestTimerMs } from '../protocol/longest-timer.ts'
import type { ExecId, ExecResult } from '../protocol/exec.ts'
import type { Runner } from '../runner/runner.ts'
import { healthKey } from '../store/keys.ts'
import type { RolloutPlace } from '../store/keys.ts'
import type { StoredHealth } from '../store/records.ts'
import type { Store } from '../store/store.ts'
import { getJson, putJsonOnce } from '../store/stored-json.ts'
import type { Healthcheck } from '../tasks/task.ts'

/** A check that asks for no pause at all would keep the sandbox busy with nothing else. */
const shortestPauseMs = 100

export interface HealthcheckAt {
  readonly runner: Runner
  readonly store: Store
  readonly place: RolloutPlace & { readonly phase: number }
  /** Of the first run; the others count up its part. */
  readonly id: ExecId
  readonly cwd: string
  /** Default: the sandbox's. */
  readonly user?: string
  readonly signal: AbortSignal
  /** For messages: `environment.healthcheck`. */
  readonly field: string
}

/**
 * Repeats a health check until it exits with 0, as Docker does: failures in the start period do not count, and after
 * `retries` others in a row it has failed. Safe to run twice: by exec ids, and each run's outcome is `putOnce`, so that
 * another worker goes on where the one before it died.
 * @throws RollcallError `healthcheck-failed`
 */
export async function awaitHealthy(check: Healthcheck, at: HealthcheckAt): Promise<void> {
  let failures = 0
  let beginsMs = 0
  for (let round = 0; ; round += 1) {
    const isStarting = beginsMs < check.startPeriodMs
    const found = await findOrRun(check, { ...at, round, beginsMs })
    if (found.healthy) return
    failures = isStarting ? 0 : failures + 1
    if (failures >= check.retries) throw hasFailed(check, at.field, found)
    const isStillStarting = found.endedMs < check.startPeriodMs
    const pauseMs = Math.max(shortestPauseMs, isStillStarting ? check.startIntervalMs : check.intervalMs)
    beginsMs = found.endedMs + pauseMs
    const isNextKnown = (await getJson(at.store, healthKey({ ...at.place, round: round + 1 }))) !== undefined
    if (!isNextKnown) await delay(Math.min(longestTimerMs, pauseMs), undefined, { signal: at.signal })
  }
}

async function findOrRun(
  check: Healthcheck,
  at: HealthcheckAt & { round: number; beginsMs: number },
): Promise<StoredHealth> {
  const key = healthKey({ ...at.place, round: at.round })
  const known = await getJson<StoredHealth>(at.store, key)
  if (known !== undefined) return known
  const request = {
    id: { ...at.id, part: at.id.part + at.round },
    script: check.command,
    shell: 'bash' as const,
    cwd: at.cwd,
    ...(at.user === undefined ? {} : { user: at.user }),
    timeoutMs: check.timeoutMs,
  }
  const result = await at.runner.exec(request, { signal: at.signal })
  const healthy = result.outcome.type === 'exited' && result.outcome.code === 0
  return await putJsonOnce(at.store, key, { healthy, endedMs: at.beginsMs + result.durationMs, said: saidBy(result) })
}

function hasFailed({ retries }: Healthcheck, field: string, { said }: StoredHealth): RollcallError {
  const times = retries === 1 ? 'failed' : `failed ${retries} times in a row`
  return new RollcallError('healthcheck-failed', `${field} ${times}; the last time it ${said}`)
}

function saidBy({ outcome, stdout, stderr }: ExecResult): string {
  const how = outcome.type === 'exited' ? `exited with ${outcome.code}` : outcome.type
  const text = `${stdout.head.toString()}\n${stderr.head.toString()}`.trim()
  return text === '' ? `${how} and printed nothing` : `${how} and printed: ${text.slice(-500)}`
}
