import { spawnSync } from 'node:child_process'
import { mkdir, readFile, rm, writeFile } from 'node:fs/promises'
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
  const close = () => new Promise((resolve) => server.close(resolve))
  return { url: `http://127.0.0.1:${port}`, asked, close }
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
  expect(await store.get(notifiedKey('n-1', 'file'))).toBeDefined()
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

test('a file that cannot be written yet is tried again, and does not keep the service from being told, once', async () => {
  const { url, asked } = await service(200)
  const folder = join(await temporaryFolder('told'), 'folder')
  const file = join(folder, 'told.jsonl')
  await writeFile(folder, 'in the way')
  const { tell } = await judged({ notifyFile: file, notifyUrl: url })
  const failed = { code: 'provider-unavailable', message: expect.stringContaining(`--notify-file ${file}: ENOTDIR`) }
  await expect(tell()).rejects.toMatchObject(failed)
  await expect(tell()).rejects.toMatchObject(failed)
  expect(asked).toHaveLength(1)
  await rm(folder)
  await tell()
  expect(await readFile(file, 'utf8')).toBe('{"job":"n-1","verdict":"same"}\n')
  expect(asked).toHaveLength(1)
})

test.each(['pipe', 'folder'])('a %s where the file should be is refused, and holds nobody', async (what) => {
  const file = join(await temporaryFolder('told'), 'told.jsonl')
  if (what === 'pipe') expect(spawnSync('mkfifo', [file]).status).toBe(0)
  else await mkdir(file)
  const { tell } = await judged({ notifyFile: file })
  await expect(tell()).rejects.toMatchObject({ code: 'configuration-invalid', message: expect.stringContaining(file) })
})

test('a service that is down is tried again', async () => {
  const { url, close } = await service()
  await close()
  const { tell } = await judged({ notifyUrl: `${url}/\${TOKEN}` })
  await expect(tell()).rejects.toMatchObject({
    code: 'provider-unavailable',
    message: `--notify-url at ${url} does not answer: ECONNREFUSED`,
  })
})

test.each(['', 'ftp://example.com/', 'http://user@example.com/'].map((start) => `${start}\${TOKEN}`))(
  '%s is refused without saying what the token is',
  async (notifyUrl) => {
    const { tell } = await judged({ notifyUrl })
    const refused: unknown = await tell().catch((error: unknown) => error)
    expect(refused).toMatchObject({ code: 'configuration-invalid' })
    expect(String(refused)).not.toContain('t0k')
  },
)
