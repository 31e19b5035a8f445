import { MockActivityEnvironment } from '@temporalio/testing'
import { expect, test, vi } from 'vitest'
import type { ActivityNote } from '../protocol/activity-note.ts'
import type { ExecRequest, Runner } from '../runner/runner.ts'
import { timing } from '../workflows/timing.ts'
import { notingRunner } from './exec-notes.ts'
import { runActivity } from './run-activity.ts'
import { noLiveExecs } from '../runner/test-sandbox.ts'

const request = (call: number): ExecRequest => ({
  id: { scope: 's', phase: 1, batch: 0, call, part: 0 },
  script: 'true',
  timeoutMs: 1,
})

/** A runner whose commands end when the test says so. */
function runnerOf(ends: Promise<never>): Runner {
  const nothing = () => Promise.reject(new Error('not asked for'))
  return { ...noLiveExecs, exec: () => ends, acknowledge: () => {}, stop: nothing, hello: nothing, close: () => {} }
}

test('what runs is noted from its beginning to its end, an earlier attempt’s since then', async () => {
  const end = Promise.withResolvers<never>()
  const notes: ActivityNote[] = []
  const earlier = { execs: [{ name: '1-0-0-0', sinceMs: 5 }] }
  const runner = notingRunner(runnerOf(end.promise), { note: (note) => notes.push(note), earlier })
  const running = [runner.exec(request(0)), runner.exec(request(1))].map((exec) => exec.catch(() => 'ended'))
  expect(notes.at(-1)).toEqual({
    execs: [
      { name: '1-0-0-0', sinceMs: 5 },
      { name: '1-0-1-0', sinceMs: expect.any(Number) as number },
    ],
  })
  end.reject(new Error('lost'))
  expect(await Promise.all(running)).toEqual(['ended', 'ended'])
  expect(notes.at(-1)).toEqual({ execs: [] })
})

test('a heartbeat says what was noted last, and until then what the attempt before said', async () => {
  vi.useFakeTimers()
  const environment = new MockActivityEnvironment({ heartbeatDetails: { execs: [], line: 'building image' } })
  const said: unknown[] = []
  environment.on('heartbeat', (details: unknown) => said.push(details))
  const never = new AbortController().signal
  await environment.run(() =>
    runActivity(never, async ({ note, earlier }) => {
      vi.advanceTimersByTime(timing.heartbeatTickMs)
      note({ execs: [], line: 'starting' })
      vi.advanceTimersByTime(timing.heartbeatTickMs)
      return earlier ?? {}
    }),
  )
  vi.useRealTimers()
  expect(said).toEqual([
    { execs: [], line: 'building image' },
    { execs: [], line: 'starting' },
  ])
})
