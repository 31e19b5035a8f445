import { appendFile, mkdir, readFile } from 'node:fs/promises'
import { dirname } from 'node:path'
import type { JobRef } from '../protocol/activities.ts'
import { RollcallError } from '../protocol/failure.ts'
import type { ScheduledStart, ScheduleVerdict } from '../protocol/schedule.ts'
import { notifiedKey, verdictKey } from '../store/keys.ts'
import type { Store } from '../store/store.ts'
import { getJson } from '../store/stored-json.ts'
import { readScheduleConfig } from './prepare-scheduled-job.ts'

const answerWithinMs = 30_000

/**
 * Tells a file or a service on the worker's side what a scheduled job came to. At least once: a service gets the job's
 * id as `Idempotency-Key`, and a file that names the job already is left as it is.
 */
export async function notifyVerdict(
  input: JobRef & ScheduledStart,
  { store, secrets }: { store: Store; secrets: (names: readonly string[]) => Readonly<Record<string, string>> },
): Promise<void> {
  if ((await store.get(notifiedKey(input.job))) !== undefined) return
  const config = await readScheduleConfig(store, input.config)
  const verdict = await getJson<ScheduleVerdict>(store, verdictKey(input))
  if (verdict === undefined) throw new RollcallError('internal', `Job ${input.job} has no verdict to tell`)
  if (config.notifyFile !== undefined) await appendOnce(config.notifyFile, verdict)
  if (config.notifyUrl !== undefined) await post(fill(config.notifyUrl, secrets), verdict)
  await store.putOnce(notifiedKey(input.job), Buffer.from(new Date().toISOString()))
}

async function appendOnce(file: string, verdict: ScheduleVerdict): Promise<void> {
  const line = JSON.stringify(verdict)
  try {
    const known = (await textOf(file)) ?? ''
    if (known.split('\n').includes(line)) return
    await mkdir(dirname(file), { recursive: true })
    // A line of its own also behind one that a worker died in.
    const separator = known === '' || known.endsWith('\n') ? '' : '\n'
    await appendFile(file, `${separator}${line}\n`)
  } catch (error) {
    throw notNow(`--notify-file ${file} cannot be written`, error)
  }
}

async function textOf(file: string): Promise<string | undefined> {
  return await readFile(file, 'utf8').catch((error: NodeJS.ErrnoException) => {
    if (error.code === 'ENOENT') return undefined
    throw error
  })
}

/** The address with each `${NAME}` from the worker's environment, so that a token in it stands in no store. */
function fill(url: string, secrets: (names: readonly string[]) => Readonly<Record<string, string>>): string {
  return url.replaceAll(/\$\{(\w+)\}/g, (_, name: string) => {
    const value = secrets([name])[name]
    if (value !== undefined) return value
    throw new RollcallError('secret-missing', `--notify-url names ${name}, which is not in the worker's environment`)
  })
}

async function post(url: string, verdict: ScheduleVerdict): Promise<void> {
  const { origin } = new URL(url)
  const answer = await fetch(url, {
    method: 'POST',
    headers: { 'content-type': 'application/json', 'idempotency-key': verdict.job },
    body: JSON.stringify(verdict),
    signal: AbortSignal.timeout(answerWithinMs),
  }).catch((error: unknown) => {
    throw notNow(`--notify-url at ${origin} does not answer`, error)
  })
  await answer.body?.cancel()
  if (answer.ok) return
  const isFinal = answer.status >= 400 && answer.status < 500 && answer.status !== 429 && answer.status !== 408
  const said = `--notify-url at ${origin} answered ${answer.status}`
  throw new RollcallError(isFinal ? 'configuration-invalid' : 'provider-unavailable', said)
}

/** What may be well again within the hour for which somebody is told: no address, connection, room or answer. */
function notNow(what: string, error: unknown): RollcallError {
  const cause = error instanceof Error && error.cause instanceof Error ? error.cause : error
  const code = cause instanceof Error && 'code' in cause && typeof cause.code === 'string' ? cause.code : undefined
  const reason = code ?? (cause instanceof Error ? cause.message : String(cause))
  return new RollcallError('provider-unavailable', `${what}: ${reason}`, { cause: error })
}
