import { expect, test } from 'vitest'
import type { ScheduleState } from '../client/index.ts'
import { showSchedule } from './schedule-view.ts'

const state: ScheduleState = {
  name: 'nightly',
  taskset: 'tasks',
  tasks: 1,
  cron: '@daily',
  timeZone: 'UTC',
  paused: false,
  next: [],
  running: [],
  missed: { catchup: 2, overlap: 1 },
  served: false,
}

test('what keeps a schedule from running, and from being heard of, is said', () => {
  expect(showSchedule(state, [], 'nightly-20261121-030000').split('\n')).toEqual([
    'nightly: tasks, 1 task, at @daily (UTC)',
    'next: never',
    'no worker serves it: start `rollcall worker` where the sandboxes are to be',
    'left out: 1 while a job still ran, 2 while the server was away',
    'not all have been told yet what nightly-20261121-030000 came to: the workflow nightly-20261121-030000.told in the Temporal UI says why',
    'No job has ended yet.',
    '',
  ])
  expect(showSchedule(state, [], undefined)).not.toContain('nobody')
})
