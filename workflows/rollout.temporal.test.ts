import { randomUUID } from 'node:crypto'
import { Context } from '@temporalio/activity'
import { expect, test } from 'vitest'
import type { Activities, RecordInput } from '../protocol/activities.ts'
import { failing, policy, scriptedActivities, untilCancelled } from '../testing/scripted-activities.ts'
import { runScriptedRollout } from '../testing/scripted-rollout.ts'
import { useTemporal } from '../testing/temporal.ts'
import type { RolloutInput, rolloutWorkflow } from './rollout.ts'
import { timing } from './timing.ts'

const temporal = useTemporal({ dynamicConfig: { 'limit.historyCount.suggestContinueAsNew': '60' } })

const run = (script: Parameters<typeof runScriptedRollout>[1], input: Partial<RolloutInput> = {}) =>
  runScriptedRollout(temporal, script, input)

/** A worker that is dead says nothing, not even that it was cancelled. */
const silence: Activities['runTurns'] = async ({ turn }) => {
  await Context.current().sleep(600_000)
  return { turn }
}

const wholeLife = ['openRollout', 'runTurns', 'gradeRollout', 'recordRollout', 'releaseSandbox']

test('a rollout is opened, worked on, graded, recorded and released', async () => {
  const { outcome, calls } = await run({})
  expect(outcome).toEqual({ state: 'graded', reward: 1 })
  expect(calls).toEqual(wholeLife)
})

test('a worker that shuts down hands the turns over, no attempt is burnt, and the next one is told', async () => {
  const begun: unknown[] = []
  await run({
    runTurns: async ({ turn, wasHandedOver }) => {
      begun.push({ attempt: Context.current().info.attempt, turn, wasHandedOver })
      if (begun.length === 1) return { handedOver: true }
      return begun.length === 2 ? { turn: turn + 1 } : { turn: turn + 1, end: 'done' }
    },
  })
  expect(begun).toEqual([
    { attempt: 1, turn: 0 },
    { attempt: 1, turn: 0, wasHandedOver: true },
    { attempt: 1, turn: 1 },
  ])
})

test('a sandbox that could not be opened is released all the same', async () => {
  const { outcome, calls } = await run({ openRollout: async () => failing('image-build-failed') })
  expect(outcome).toEqual({ state: 'failed', code: 'image-build-failed' })
  expect(calls).toEqual(['openRollout', 'recordRollout', 'releaseSandbox'])
})

test.each([
  ['out of time', true],
  ['with an answer', false],
])('a sandbox whose opening ended %s: the release is told whether it may appear later: %j', async (_, mayAppear) => {
  const told: boolean[] = []
  const inOneSecond = { ...policy, acquireTimeoutMs: 500 - timing.marginMs, startTimeoutMs: 500 }
  await run(
    {
      openRollout: async () => {
        if (mayAppear) await Context.current().sleep(600_000)
        return failing('image-missing')
      },
      releaseSandbox: async (input) => void told.push(input.mayAppear),
    },
    { policy: inOneSecond },
  )
  expect(told).toEqual([mayAppear])
})

test('a rollout that is cancelled while its worker is dead is recorded as cancelled, not as failed', async () => {
  const { activities, calls } = scriptedActivities({ runTurns: silence })
  const taskQueue = randomUUID()
  const worker = await temporal.worker(activities, taskQueue)
  const { client } = temporal.environment()
  await worker.runUntil(async () => {
    const handle = await client.workflow.start<typeof rolloutWorkflow>('rolloutWorkflow', {
      taskQueue,
      workflowId: randomUUID(),
      args: [{ job: 'j', storeUrl: 'file:///none', rollout: 'task-0.oracle.1', policy, searchable: true }],
    })
    await expect.poll(() => calls.includes('runTurns'), { timeout: 20_000 }).toBe(true)
    await handle.cancel()
    expect(await handle.result()).toEqual({ state: 'cancelled', code: 'cancelled' })
  })
})

test('a lost sandbox fails the rollout when the policy is fail', async () => {
  const recorded: RecordInput[] = []
  const { outcome, calls } = await run({
    runTurns: async () => failing('sandbox-lost'),
    recordRollout: async (input) => {
      recorded.push(input)
      return { state: input.state, code: 'sandbox-lost' }
    },
  })
  expect(outcome).toEqual({ state: 'failed', code: 'sandbox-lost' })
  // Nobody looks for artifacts in a sandbox that is gone.
  expect(recorded.map(({ lease }) => lease)).toEqual([undefined])
  expect(calls).toEqual(['openRollout', 'runTurns', 'recordRollout', 'releaseSandbox'])
})

test('a rollout whose sandbox is lost twice is graded in the third sandbox', async () => {
  const released: (readonly number[])[] = []
  const turns: Activities['runTurns'] = async ({ incarnation, turn, phase }) => {
    expect([turn, phase]).toEqual([0, 1])
    return incarnation < 3 ? failing('sandbox-lost') : { turn: 1, end: 'done' }
  }
  const { outcome } = await run(
    { runTurns: turns, releaseSandbox: async ({ incarnations }) => void released.push(incarnations) },
    { policy: { ...policy, sandboxLoss: { policy: 'restart', maxIncarnations: 3, hostLostMs: 120_000 } } },
  )
  expect(outcome).toEqual({ state: 'graded', reward: 1 })
  expect(released).toEqual([[1, 2, 3]])
})

test('a lost sandbox is not replaced for ever', async () => {
  const { outcome, calls } = await run(
    { gradeRollout: async () => failing('sandbox-lost') },
    { policy: { ...policy, sandboxLoss: { policy: 'restart', maxIncarnations: 2, hostLostMs: 120_000 } } },
  )
  expect(outcome).toEqual({ state: 'failed', code: 'sandbox-lost' })
  expect(calls.filter((name) => name === 'openRollout')).toHaveLength(2)
})

test('a grading failure is graded again in the same sandbox, with a phase of its own', async () => {
  const phases: number[] = []
  const { outcome } = await run(
    {
      gradeRollout: async ({ phase, attempt }) => {
        phases.push(phase)
        return attempt < 3 ? failing('reward-missing') : { rewards: { reward: 0.5 }, integrity: 'clean' }
      },
    },
    { policy: { ...policy, gradingAttempts: 3 } },
  )
  expect(outcome).toEqual({ state: 'graded', reward: 0.5 })
  expect(phases).toEqual([2, 3, 4])
})

test('a rollout that can never be graded is graded as often as the policy says', async () => {
  const { outcome, calls } = await run(
    { gradeRollout: async () => failing('reward-missing') },
    { policy: { ...policy, gradingAttempts: 2 } },
  )
  expect(outcome).toEqual({ state: 'failed', code: 'reward-missing' })
  expect(calls.filter((name) => name === 'gradeRollout')).toHaveLength(2)
})

test('a tampered grade is never graded again', async () => {
  const { outcome, calls } = await run(
    { gradeRollout: async () => failing('grade-tampered') },
    { policy: { ...policy, gradingAttempts: 3 } },
  )
  expect(outcome).toEqual({ state: 'failed', code: 'grade-tampered' })
  expect(calls.filter((name) => name === 'gradeRollout')).toHaveLength(1)
})

test('a long rollout goes on as new with its sandbox, its turns, the agent’s time and its owner', async () => {
  const owners = new Set<string>()
  const left: number[] = []
  const runs = new Set<string>()
  const phases: RecordInput['phases'][] = []
  let began = ''
  const { outcome, calls, workflowId } = await run({
    recordRollout: async ({ state, phases: recorded }) => {
      phases.push(recorded)
      return { state, reward: 1 }
    },
    runTurns: async ({ turn, owner, agentMs }) => {
      if (turn === 0) began = new Date().toISOString()
      owners.add(owner)
      left.push(agentMs)
      runs.add(Context.current().info.workflowExecution?.runId ?? '')
      return { turn: turn + 1, tookMs: 1_000, ...(turn >= 25 && { end: 'done' as const }) }
    },
  })
  expect(outcome).toEqual({ state: 'graded', reward: 1 })
  expect(calls.filter((name) => name === 'runTurns')).toHaveLength(26)
  expect(calls.filter((name) => name === 'openRollout')).toHaveLength(1)
  expect(calls.filter((name) => name === 'releaseSandbox')).toHaveLength(1)
  expect(owners.size).toBe(1)
  expect(left).toEqual(left.map((_, slice) => 60_000 - slice * 1_000))
  expect(runs.size).toBeGreaterThan(1)
  expect(phases[0]?.turns?.startedAt.localeCompare(began)).toBeLessThanOrEqual(0)
  expect(workflowId).toBeTruthy()
})

/** What a rollout comes to that is cancelled when this activity has begun. */
async function cancelledIn(name: keyof Activities, { activities, calls }: ReturnType<typeof scriptedActivities>) {
  const taskQueue = randomUUID()
  const worker = await temporal.worker(activities, taskQueue)
  const { client } = temporal.environment()
  return await worker.runUntil(async () => {
    const handle = await client.workflow.start<typeof rolloutWorkflow>('rolloutWorkflow', {
      taskQueue,
      workflowId: randomUUID(),
      args: [{ job: 'j', storeUrl: 'file:///none', rollout: 'task-0.oracle.1', policy, searchable: true }],
    })
    await expect.poll(() => calls.includes(name), { timeout: 20_000 }).toBe(true)
    await handle.cancel()
    return await handle.result()
  })
}

test.each([
  ['with nothing on its way', false, untilCancelled],
  ['and nobody knows what is on its way', true, () => untilCancelled().catch(() => failing('cancelled'))],
])('a rollout that is cancelled while it opens, %s, is released accordingly', async (_, mayAppear, openRollout) => {
  const released: unknown[] = []
  const script = { openRollout, releaseSandbox: async (input: unknown) => void released.push(input) }
  const outcome = await cancelledIn('openRollout', scriptedActivities(script))
  expect(outcome).toEqual({ state: 'cancelled', code: 'cancelled' })
  expect(released).toEqual([expect.objectContaining({ mayAppear, incarnations: [1] })])
})

test('a rollout that is cancelled in its turns is recorded as cancelled and released', async () => {
  const scripted = scriptedActivities({ runTurns: untilCancelled })
  expect(await cancelledIn('runTurns', scripted)).toEqual({ state: 'cancelled', code: 'cancelled' })
  expect(scripted.calls).toEqual(['openRollout', 'runTurns', 'recordRollout', 'releaseSandbox'])
})
