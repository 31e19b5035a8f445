import type { Stats } from 'node:fs'
import { appendFile, mkdir, readFile, stat } from 'node:fs/promises'
import { dirname } from 'node:path'
import type { JobRef } from '../protocol/activities.ts'
import { failureKinds, RollcallError } from '../protocol/failure.ts'
import type { ScheduledStart, ScheduleVerdict } from '../protocol/schedule.ts'
import { notifiedKey, verdictKey } from '../store/keys.ts'
import type { Store } from '../store/store.ts'
import { getJson } from '../store/stored-json.ts'
import { readScheduleConfig } from './prepare-scheduled-job.ts'

const answerWithinMs = 30_000

/**
 * Tells a file and a service on the worker's side what a scheduled job came to; neither waits for the other. At least
 * once: a service gets the job's id as `Idempotency-Key`, and a file that names the job already is left as it is.
 */
export async function notifyVerdict(
  input: JobRef & ScheduledStart,
  { store, secrets }: { store: Store; secrets: (names: readonly string[]) => Readonly<Record<string, string>> },
): Promise<void> {
  const { notifyFile, notifyUrl } = await readScheduleConfig(store, input.config)
  const verdict = await getJson<ScheduleVerdict>(store, verdictKey(input))
  if (verdict === undefined) throw new RollcallError('internal', `Job ${input.job} has no verdict to tell`)
  const once = async (whom: 'file' | 'url', tell: () => Promise<void>) => {
    const key = notifiedKey(input.job, whom)
    if ((await store.get(key)) !== undefined) return
    await tell()
    await store.putOnce(key, Buffer.from(new Date().toISOString()))
  }
  await allOf([
    ...(notifyFile === undefined ? [] : [once('file', () => appendOnce(notifyFile, verdict))]),
    ...(notifyUrl === undefined ? [] : [once('url', () => post(fill(notifyUrl, secrets), verdict))]),
  ])
}

/** Fails when all have been tried; as long as one may still be told, with what lets it be tried again. */
async function allOf(telling: readonly Promise<void>[]): Promise<void> {
  const ended = await Promise.allSettled(telling)
  const failures = ended.flatMap((one) => (one.status === 'rejected' ? [one.reason as unknown] : []))
  const failure = failures.find(mayPass) ?? failures[0]
  if (failure !== undefined) throw failure
}

function mayPass(failure: unknown): boolean {
  return failure instanceof RollcallError && failureKinds[failure.code].retry
}

async function appendOnce(file: string, verdict: ScheduleVerdict): Promise<void> {
  try {
    // Reading a pipe or a device may never end, and would hold one of the few threads that read files for all jobs.
    if ((await statOf(file))?.isFile() === false) throw noFile(file)
    await appendLine(file, JSON.stringify(verdict))
  } catch (error) {
    if (error instanceof RollcallError) throw error
    throw new RollcallError('provider-unavailable', `--notify-file ${file}: ${reasonOf(error)}`, { cause: error })
  }
}

function noFile(file: string): RollcallError {
  const message = `--notify-file is ${JSON.stringify(file)}, which is a folder, pipe or device: expected a file`
  return new RollcallError('configuration-invalid', message)
}

async function appendLine(file: string, line: string): Promise<void> {
  const known = (await statOf(file)) === undefined ? '' : await readFile(file, 'utf8')
  if (known.split('\n').includes(line)) return
  await mkdir(dirname(file), { recursive: true })
  // A line of its own also behind one that a worker died in.
  const separator = known === '' || known.endsWith('\n') ? '' : '\n'
  await appendFile(file, `${separator}${line}\n`)
}

async function statOf(file: string): Promise<Stats | undefined> {
  return await stat(file).catch((error: NodeJS.ErrnoException) => {
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
  const origin = originOf(url)
  const answer = await fetch(url, {
    method: 'POST',
    headers: { 'content-type': 'application/json', 'idempotency-key': verdict.job },
    body: JSON.stringify(verdict),
    signal: AbortSignal.timeout(answerWithinMs),
  }).catch((error: unknown) => {
    throw new RollcallError('provider-unavailable', `--notify-url at ${origin} does not answer: ${reasonOf(error)}`)
  })
  await answer.body?.cancel()
  if (answer.ok) return
  const isFinal = answer.status >= 400 && answer.status < 500 && answer.status !== 429 && answer.status !== 408
  const said = `--notify-url at ${origin} answered ${answer.status}`
  throw new RollcallError(isFinal ? 'configuration-invalid' : 'provider-unavailable', said)
}

/** All that is said of an address: what is behind it may be a token. */
function originOf(url: string): string {
  const parsed = URL.canParse(url) ? new URL(url) : undefined
  const isUsable =
    parsed !== undefined && /^https?:$/.test(parsed.protocol) && `${parsed.username}${parsed.password}` === ''
  if (isUsable) return parsed.origin
  throw new RollcallError(
    'configuration-invalid',
    '--notify-url, its variables filled in, is no address: expected http:// or https:// and no user or password in it',
  )
}

/** Of a request that failed, the cause alone tells why; its own message may hold the whole address. */
function reasonOf(error: unknown): string {
  if (!(error instanceof Error)) return String(error)
  if (!(error instanceof TypeError) && error.name !== 'TimeoutError') return error.message
  const { cause } = error
  if (!(cause instanceof Error)) return error.name
  return 'code' in cause ? String(cause.code) : cause.message
}
