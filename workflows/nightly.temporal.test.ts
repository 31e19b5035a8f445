import { randomUUID } from 'node:crypto'
import { ApplicationFailure } from '@temporalio/activity'
import { expect, test } from 'vitest'
import type { VerdictInput } from '../protocol/activities.ts'
import { sharedTaskQueue } from '../protocol/names.ts'
import { preparedJob, scriptedActivities, untilCancelled } from '../testing/scripted-activities.ts'
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
  const { workflow } = temporal.environment().client
  const told = () => workflow.getHandle(`${schedule}-20261121-030000.told`).result()
  const run = () =>
    workflow.execute<typeof nightlyWorkflow>('nightlyWorkflow', {
      taskQueue: sharedTaskQueue,
      workflowId: `${schedule}-${due}`,
      args: [{ schedule, config: 'config', storeUrl: 'file:///none', searchable: false }],
    })
  const serving = <Result>(work: () => Promise<Result>) => provider.runUntil(worker.runUntil(work))
  const cancel = () => temporal.environment().client.workflow.getHandle(`${schedule}-${due}`).cancel()
  return { schedule, calls, cancel, run, told, serving }
}

const once = { rollouts: 1, placeRollout: async () => ({ place: 'here', queue: sharedTaskQueue }) }

test('the job is named by the time it was due, is judged, and the verdict is told', async () => {
  const judged: VerdictInput[] = []
  const judgeScheduledJob = async (input: VerdictInput) => {
    judged.push(input)
    return { verdict: 'better' as const, details: '**better**', notifies: true }
  }
  const { schedule, calls, run, told, serving } = await nightly({ ...once, judgeScheduledJob })
  expect(await serving(async () => [await run(), await told()])).toEqual(['better', undefined])
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
  const { calls, run, told, serving } = await nightly(once)
  const twice = serving(async () => [await run(), await told(), await run()])
  expect(await twice).toEqual(['same', undefined, 'started-twice'])
  expect(calls.filter((name) => name === 'planJob')).toHaveLength(1)
  expect(calls.filter((name) => name === 'notifyVerdict')).toHaveLength(1)
})

test('a job that only the store still knows does not run again', async () => {
  const prepareScheduledJob = async () => ({ ...preparedJob, isOver: true })
  const { calls, run, serving } = await nightly({ ...once, prepareScheduledJob })
  expect(await serving(run)).toBe('started-twice')
  expect(calls).toEqual(['prepareScheduledJob'])
})

test('a job that cannot be planned is judged all the same, with the reason', async () => {
  const judged: VerdictInput[] = []
  const { run, serving } = await nightly({
    planJob: async () => {
      throw ApplicationFailure.create({
        type: 'secret-missing',
        message: 'Secrets KEY are missing',
        nonRetryable: true,
      })
    },
    judgeScheduledJob: async (input) => {
      judged.push(input)
      return { verdict: 'not-comparable', details: '', notifies: false }
    },
  })
  expect(await serving(run)).toBe('not-comparable')
  expect(judged).toMatchObject([{ failure: 'Secrets KEY are missing' }])
})

test('a start that is cancelled is judged once, with that as the reason, and the verdict is told', async () => {
  const reasons: unknown[] = []
  const turns = Promise.withResolvers<undefined>()
  const { calls, cancel, run, told, serving } = await nightly({
    ...once,
    runTurns: async () => {
      turns.resolve(undefined)
      return await untilCancelled()
    },
    judgeScheduledJob: async ({ failure }) => {
      reasons.push(failure)
      return { verdict: 'not-comparable', details: '', notifies: true }
    },
  })
  const [verdict] = await serving(async () => {
    const ended = await Promise.all([run(), turns.promise.then(cancel)])
    await told()
    return ended
  })
  expect(verdict).toBe('not-comparable')
  expect(reasons).toEqual(['The job was cancelled.'])
  expect(calls.at(-1)).toBe('notifyVerdict')
})

test('a start is over before anybody is told, and who cannot be told does not undo the verdict', async () => {
  const { promise: refused, resolve: refuse } = Promise.withResolvers<void>()
  const { run, told, serving } = await nightly({
    ...once,
    notifyVerdict: async () => {
      await refused
      throw ApplicationFailure.create({ type: 'configuration-invalid', message: 'answered 404', nonRetryable: true })
    },
  })
  await serving(async () => {
    expect(await run()).toBe('same')
    refuse()
    await expect(told()).rejects.toMatchObject({ cause: { message: expect.stringContaining('answered 404') } })
  })
})
