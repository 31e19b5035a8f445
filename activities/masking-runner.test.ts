import { expect, onTestFinished, test } from 'vitest'
import { openTestSandbox } from '../runner/test-sandbox.ts'
import { createFileStore } from '../store/file-store.ts'
import { outputKey } from '../store/keys.ts'
import { temporaryFolder } from '../testing/temporary-folder.ts'
import { ExecLog } from './exec-log.ts'
import { maskingRunner } from './masking-runner.ts'
import { Mask } from './mask.ts'

const secret = 'op3n-s3same'
const at = { job: 'j', rollout: 'r', incarnation: 1 }
const id = { scope: 'mask', phase: 1, batch: 0, call: 0, part: 0 }

async function opened() {
  const sandbox = await openTestSandbox({ shell: 'dash' })
  onTestFinished(() => sandbox[Symbol.asyncDispose]())
  const store = createFileStore(await temporaryFolder('mask'))
  const log = new ExecLog(at, store)
  const runner = maskingRunner(sandbox.open(), new Mask([secret]))
  const stored = async (stream: 'stdout' | 'stderr' = 'stdout') =>
    (await store.get(outputKey({ ...at, exec: '1-0-0-0', stream })))?.toString()
  return { runner, log, store, stored, unmasked: sandbox.open() }
}

test('what a command prints is masked where it is kept and where it is stored, in however many pieces it comes', async () => {
  const { runner, log, stored } = await opened()
  const script = `printf 'a op3n-'; printf 's3s'; printf 'ame b\n'; echo "$S" >&2`
  const request = {
    id,
    script,
    env: { S: secret },
    timeoutMs: 10_000,
    stdoutSink: log.spool(id, 'stdout'),
    stderrSink: log.spool(id, 'stderr'),
  }
  const result = await runner.exec(request)
  await log.flush()
  expect(result.stdout.head.toString()).toBe('a *** b\n')
  expect(result.stderr.head.toString()).toBe('***\n')
  expect(await stored()).toBe('a *** b\n')
  expect(await stored('stderr')).toBe('***\n')
})

test('a value at the cut of long output is not told in two halves', async () => {
  const { runner } = await opened()
  // The head ends, and the tail begins, within the value.
  const script = `printf 'xxxxxxxxxxop3n-s3same'; printf '%5000s' ''; printf 'op3n-s3sameyyyyyyyyyy'`
  const { stdout } = await runner.exec({ id, script, timeoutMs: 10_000, captureBytes: 16 })
  expect(stdout.head.toString()).toBe('xxxxxxxxxx***')
  expect(stdout.tail.toString()).toBe('***yyyyyyyyyy')
})

test('files that are moved are no text, and stay as they are', async () => {
  const { runner, log, stored } = await opened()
  const request = { id, script: `echo ${secret}`, timeoutMs: 10_000, stdoutSink: log.spool(id, 'stdout') }
  await runner.exec({ ...request, isTransfer: true })
  await log.flush()
  expect(await stored()).toBe(`${secret}\n`)
})

test('of a command from which a worker detaches nothing is stored, and all of it when it attaches again', async () => {
  const { runner, log, store, stored } = await opened()
  const detached = new AbortController()
  const script = `echo ${secret}; while [ ! -e go ]; do sleep 0.01; done`
  const request = { id, script, timeoutMs: 10_000 }
  const sink = log.spool(id, 'stdout')
  const heard = new Promise<void>((resolve) => sink.once('pipe', () => resolve()))
  const running = runner.exec({ ...request, stdoutSink: sink }, { signal: detached.signal })
  await heard
  detached.abort(new Error('let go'))
  await expect(running).rejects.toThrow('let go')
  await log.flush()
  expect(await store.list('')).toEqual([])
  const again = new ExecLog(at, store)
  const attached = runner.exec({ ...request, stdoutSink: again.spool(id, 'stdout') })
  await runner.exec({ id: { ...id, call: 1 }, script: 'touch go', timeoutMs: 10_000 })
  await attached
  await again.flush()
  expect(await stored()).toBe('***\n')
})

test('a piece of a longer output tells no half of a value', async () => {
  const { runner, log, stored } = await opened()
  const request = { id, script: `printf 's3same then op3n-s3'`, timeoutMs: 10_000, isPiece: true } as const
  const { stdout } = await runner.exec({ ...request, stdoutSink: log.spool(id, 'stdout') })
  await log.flush()
  expect(stdout.head.toString()).toBe('*** then ***')
  expect(await stored()).toBe('*** then ***')
})
