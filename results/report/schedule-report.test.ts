import { expect, test } from 'vitest'
import type { ScheduleVerdict } from '../../protocol/schedule.ts'
import { scheduleReport } from './schedule-report.ts'

const verdict: ScheduleVerdict = {
  version: 1,
  schedule: 'nightly',
  scheduledAt: '2026-11-21T03:00:00Z',
  judgedAt: '2026-11-21T03:10:00Z',
  job: 'nightly-20261121-030000',
  verdict: 'worse',
  reason: 'below <b>all</b> before',
  belowThreshold: true,
  isBaseline: false,
  baseline: 'nightly-20261120-030000',
  mean: 0.5,
  graded: 2,
  failed: 1,
  tasks: [{ task: 'mend', change: 'worse', before: 1, now: 0 }],
}

test('the trend and every job are in one page that asks for nothing', () => {
  const page = scheduleReport('nightly', [verdict])
  expect(page).toContain('<canvas')
  expect(page).toContain('mend worse (1.000 → 0.000)')
  expect(page).toContain('Against nightly-20261120-030000.')
  expect(page).toContain('below &lt;b&gt;all&lt;/b&gt; before')
  expect(page).toContain('default-src')
})

test('jobs beyond what a plot can show are left out, and said to be', () => {
  const many = Array.from({ length: 1_003 }, (_, day) => ({ ...verdict, job: `n-${day}` }))
  const page = scheduleReport('nightly', many)
  expect(page).toContain('The 3 earlier jobs are left out.')
  expect(page).toContain('<td>n-1002</td>')
  expect(page).not.toContain('<td>n-2</td>')
})
