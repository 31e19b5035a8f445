import { join } from 'node:path'
import { expect, test } from 'vitest'
import { jobOptions } from '../protocol/job-options-fixture.ts'
import { createFileStore } from '../store/file-store.ts'
import { summaryKey } from '../store/keys.ts'
import { putJsonOnce } from '../store/stored-json.ts'
import { temporaryFolder } from '../testing/temporary-folder.ts'
import { prepareScheduledJob } from './prepare-scheduled-job.ts'

test('a job that has its summary is over, whatever Temporal still knows', async () => {
  const store = createFileStore(join(await temporaryFolder('prepare'), 'store'))
  const start = { schedule: 'n', config: 'schedule-configs/c.json', scheduledAt: '2026-11-21T03:00:00Z' }
  const times = { cron: '@daily', timeZone: 'UTC', catchupWindowMs: 60_000, jitterMs: 0 }
  const rest = { baseline: 'last-good', maxFailedShare: 0.1, options: jobOptions() }
  await putJsonOnce(store, start.config, { version: 1, schedule: 'n', ...times, ...rest })
  const prepare = () =>
    prepareScheduledJob({ job: 'n-1', storeUrl: store.url, ...start }, { store, cacheDirectory: '/nowhere' })
  expect(await prepare()).toMatchObject({ isOver: false, provider: 'local', summary: 'tasks · 1 task · nop' })
  await putJsonOnce(store, summaryKey('n-1'), {})
  expect(await prepare()).toMatchObject({ isOver: true })
})
