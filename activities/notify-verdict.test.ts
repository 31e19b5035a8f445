import { once } from 'node:events'
import { readFile, writeFile } from 'node:fs/promises'
import { createServer } from 'node:http'
import type { AddressInfo } from 'node:net'
import { join } from 'node:path'
import { text } from 'node:stream/consumers'
import { expect, onTestFinished, test } from 'vitest'
import { jobOptions } from '../protocol/job-options-fixture.ts'
import type { ScheduleConfig } from '../protocol/schedule.ts'
import { createFileStore } from '../store/file-store.ts'
import { notifiedKey, verdictKey } from '../store/keys.ts'
import { putJsonOnce } from '../store/stored-json.ts'
import { temporaryFolder } from '../testing/temporary-folder.ts'
import { notifyVerdict } from './notify-verdict.ts'

const start = { schedule: 'n', config: 'schedule-configs/c.json', scheduledAt: '2026-11-21T03:00:00Z' }

/** A schedule that tells somebody, with the verdict of one job in the store. */
async function judged(notify: Pick<ScheduleConfig, 'notifyFile' | 'notifyUrl'>) {
  const store = createFileStore(join(await temporaryFolder('notify'), 'store'))
  const times = { cron: '@daily', timeZone: 'UTC', catchupWindowMs: 60_000, jitterMs: 0 }
  const rest = { baseline: 'last-good', maxFailedShare: 0.1, options: jobOptions({}) }
  await putJsonOnce(store, start.config, { version: 1, schedule: 'n', ...times, ...rest, ...notify })
  await putJsonOnce(store, verdictKey(start), { job: 'n-1', verdict: 'same' })
  const secrets = (names: readonly string[]) =>
    Object.fromEntries(names.flatMap((name) => (name === 'TOKEN' ? [[name, 't0k']] : [])))
  return { store, tell: () => notifyVerdict({ job: 'n-1', storeUrl: store.url, ...start }, { store, secrets }) }
}

/** A service that gives these answers, one after another, and keeps what it was asked. */
async function service(...statuses: number[]) {
  const asked: { path: string | undefined; key: unknown; body: string }[] = []
  const server = createServer((request, response) => {
    void text(request).then((body) => {
      asked.push({ path: request.url, key: request.headers['idempotency-key'], body })
      response.writeHead(statuses[asked.length - 1] ?? 200).end()
    })
  })
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
  onTestFinished(() => void server.close())
  const { port } = server.address() as AddressInfo
  return { url: `http://127.0.0.1:${port}`, asked }
}

test('a file gets one line, however often it is told, and also behind a line that a worker died in', async () => {
  const file = join(await temporaryFolder('told'), 'deep', 'told.jsonl')
  const { store, tell } = await judged({ notifyFile: file })
  await tell()
  await tell()
  expect(await readFile(file, 'utf8')).toBe('{"job":"n-1","verdict":"same"}\n')

  const other = await judged({ notifyFile: file })
  await writeFile(file, '{"job":"n-0","ver')
  await other.tell()
  expect(await readFile(file, 'utf8')).toBe('{"job":"n-0","ver\n{"job":"n-1","verdict":"same"}\n')
  expect(await store.get(notifiedKey('n-1'))).toBeDefined()
})

test('a worker that died before it noted that it has told adds no second line', async () => {
  const file = join(await temporaryFolder('told'), 'told.jsonl')
  await (await judged({ notifyFile: file })).tell()
  await (await judged({ notifyFile: file })).tell()
  expect((await readFile(file, 'utf8')).split('\n')).toHaveLength(2)
})

test('a service gets the verdict with the job as its key, and a token that stands in no store', async () => {
  const { url, asked } = await service(200)
  const { tell } = await judged({ notifyUrl: `${url}/\${TOKEN}` })
  await tell()
  await tell()
  expect(asked).toEqual([{ path: '/t0k', key: 'n-1', body: '{"job":"n-1","verdict":"same"}' }])
})

test('a busy service is asked again; one that refuses is not; a token that is missing is said', async () => {
  const { url, asked } = await service(503, 404)
  const { tell } = await judged({ notifyUrl: `${url}/secret-path` })
  await expect(tell()).rejects.toMatchObject({
    code: 'provider-unavailable',
    message: `--notify-url at ${url} answered 503`,
  })
  await expect(tell()).rejects.toMatchObject({ code: 'configuration-invalid' })
  expect(asked).toHaveLength(2)
  const { tell: tellNobody } = await judged({ notifyUrl: `${url}/\${NONE}` })
  await expect(tellNobody()).rejects.toMatchObject({ code: 'secret-missing' })
})

test('a service or a file that is away now is tried again, and is named without its path', async () => {
  const away = createServer().listen(0, '127.0.0.1')
  await once(away, 'listening')
  const { port: closed } = away.address() as AddressInfo
  away.close()
  const { tell } = await judged({ notifyUrl: `http://127.0.0.1:${closed}/secret-path` })
  await expect(tell()).rejects.toMatchObject({
    code: 'provider-unavailable',
    message: `--notify-url at http://127.0.0.1:${closed} does not answer: ECONNREFUSED`,
  })
  const folder = await temporaryFolder('told')
  const { tell: write } = await judged({ notifyFile: folder })
  await expect(write()).rejects.toMatchObject({
    code: 'provider-unavailable',
    message: `--notify-file ${folder} cannot be written: EISDIR`,
  })
})
