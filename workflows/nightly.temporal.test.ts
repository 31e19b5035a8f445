import { randomUUID } from 'node:crypto'
import { ApplicationFailure } from '@temporalio/activity'
import { expect, test } from 'vitest'
import type { VerdictInput } from '../protocol/activities.ts'
import { sharedTaskQueue } from '../protocol/names.ts'
import { scriptedActivities, untilCancelled } from '../testing/scripted-activities.ts'
import { useTemporal } from '../testing/temporal.ts'
import type { nightlyWorkflow } from './nightly.ts'

const temporal = useTemporal()

const due = '2026-11-21T03:00:00Z'

/** A worker, and a start of a schedule as the server would make it: with the time it was due behind the id. */
async function nightly(script: Parameters<typeof scriptedActivities>[0] = {}) {
  const { activities, calls } = scriptedActivities(script)
  const worker = await temporal.worker(activities, sharedTaskQueue)
  const provider = await temporal.worker(activities, `${sharedTaskQueue}.fake`)
  const schedule = `n${randomUUID().slice(0, 8)}`
  const run = () =>
    temporal.environment().client.workflow.execute<typeof nightlyWorkflow>('nightlyWorkflow', {
      taskQueue: sharedTaskQueue,
      workflowId: `${schedule}-${due}`,
      args: [{ schedule, config: 'config', storeUrl: 'file:///none', searchable: false }],
    })
  const cancel = () => temporal.environment().client.workflow.getHandle(`${schedule}-${due}`).cancel()
  return {
    schedule,
    calls,
    cancel,
    run: () => provider.runUntil(worker.runUntil(run())),
    twice: () => provider.runUntil(worker.runUntil(async () => [await run(), await run()])),
  }
}

const once = { rollouts: 1, placeRollout: async () => ({ place: 'here', queue: sharedTaskQueue }) }

test('the job is named by the time it was due, is judged, and the verdict is told', async () => {
  const judged: VerdictInput[] = []
  const judgeScheduledJob = async (input: VerdictInput) => {
    judged.push(input)
    return { verdict: 'better' as const, details: '**better**' }
  }
  const { schedule, calls, run } = await nightly({ ...once, judgeScheduledJob })
  expect(await run()).toBe('better')
  expect(judged.map(({ job }) => job)).toEqual(Array(2).fill(`${schedule}-20261121-030000`))
  expect(judged[0]).toMatchObject({ schedule, scheduledAt: due, config: 'config' })
  expect(calls.filter((name) => /Job|Verdict/.test(name))).toEqual([
    'prepareScheduledJob',
    'planJob',
    'summarizeJob',
    'judgeScheduledJob',
    'judgeScheduledJob',
    'notifyVerdict',
  ])
})

test('a start that is delivered twice makes one job', async () => {
  const { calls, twice } = await nightly(once)
  expect(await twice()).toEqual(['same', 'started-twice'])
  expect(calls.filter((name) => name === 'planJob')).toHaveLength(1)
  expect(calls.filter((name) => name === 'notifyVerdict')).toHaveLength(1)
})

test('a job that cannot be planned is judged all the same, with the reason', async () => {
  const judged: VerdictInput[] = []
  const { run } = await nightly({
    planJob: async () => {
      throw ApplicationFailure.create({
        type: 'secret-missing',
        message: 'Secrets KEY are missing',
        nonRetryable: true,
      })
    },
    judgeScheduledJob: async (input) => {
      judged.push(input)
      return { verdict: 'not-comparable', details: '' }
    },
  })
  expect(await run()).toBe('not-comparable')
  expect(judged).toMatchObject([{ failure: 'Secrets KEY are missing' }])
})

test('a start that is cancelled is judged once, with that as the reason, and the verdict is told', async () => {
  const reasons: unknown[] = []
  const turns = Promise.withResolvers<undefined>()
  const { calls, cancel, run } = await nightly({
    ...once,
    runTurns: async () => {
      turns.resolve(undefined)
      return await untilCancelled()
    },
    judgeScheduledJob: async ({ failure }) => {
      reasons.push(failure)
      return { verdict: 'not-comparable', details: '' }
    },
  })
  const [verdict] = await Promise.all([run(), turns.promise.then(cancel)])
  expect(verdict).toBe('not-comparable')
  expect(reasons).toEqual(['The job was cancelled.'])
  expect(calls.at(-1)).toBe('notifyVerdict')
})

test('who cannot be told does not undo the verdict', async () => {
  const { run } = await nightly({
    ...once,
    notifyVerdict: async () => {
      throw ApplicationFailure.create({ type: 'configuration-invalid', message: 'answered 404', nonRetryable: true })
    },
  })
  expect(await run()).toBe('same')
})
