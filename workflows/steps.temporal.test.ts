import { expect, test } from 'vitest'
import type { Activities, PartInput, RecordInput, ReleaseInput, StepPlan } from '../protocol/activities.ts'
import { failing, policy } from '../testing/scripted-activities.ts'
import { runScriptedRollout } from '../testing/scripted-rollout.ts'
import { useTemporal } from '../testing/temporal.ts'
import type { RolloutInput } from './rollout.ts'

const temporal = useTemporal({ dynamicConfig: { 'limit.historyCount.suggestContinueAsNew': '60' } })

const limits = { agentTimeoutMs: 60_000, verifierTimeoutMs: 60_000 }
const twoSteps: readonly StepPlan[] = [
  { name: 'one', ...limits, minReward: { reward: 0.5 } },
  { name: 'two', ...limits },
]
const wholeStep = ['prepareStep', 'runTurns', 'collectArtifacts', 'gradeRollout']

type Script = Partial<Activities>

/** A rollout of steps whose rewards are given in order; what its activities were asked, by name. */
async function runSteps(
  rewards: readonly number[],
  more: {
    script?: Script
    input?: Partial<RolloutInput>
    steps?: readonly StepPlan[]
    strategy?: 'mean' | 'final'
  } = {},
) {
  const asked: { parts: PartInput[]; records: RecordInput[]; releases: ReleaseInput[]; opened: number[] } = {
    parts: [],
    records: [],
    releases: [],
    opened: [],
  }
  const script: Script = {
    openRollout: async ({ incarnation, verifier }) => {
      asked.opened.push(verifier?.phase ?? 0)
      const sandbox = verifier === undefined ? `main-${incarnation}` : `verifier-${verifier.phase}`
      const lease = { provider: 'fake', place: 'here', sandbox, incarnation, spec: 'spec' }
      return { lease, ...limits, steps: more.steps ?? twoSteps, rewardStrategy: more.strategy ?? 'mean' }
    },
    prepareStep: async (input) => {
      asked.parts.push(input)
      return { prepared: true }
    },
    runTurns: async (input) => {
      asked.parts.push(input)
      return { turn: input.turn + 1, end: 'done' }
    },
    gradeRollout: async (input) => {
      asked.parts.push(input)
      return { rewards: { reward: rewards[input.step ?? 0] ?? 0 }, integrity: 'clean' }
    },
    recordRollout: async (input) => {
      asked.records.push(input)
      const code = input.failure === undefined ? {} : { code: input.failure.code }
      return { state: input.state, reward: input.grade?.rewards['reward'] ?? -1, ...code }
    },
    releaseSandbox: async (input) => void asked.releases.push(input),
    ...more.script,
  }
  return { ...(await runScriptedRollout(temporal, script, more.input)), ...asked }
}

test('each step is prepared, worked on, collected and graded, in phases of its own', async () => {
  const { calls, parts, records, outcome } = await runSteps([1, 0.5])
  expect(outcome).toEqual({ state: 'graded', reward: 0.75 })
  expect(calls).toEqual(['openRollout', ...wholeStep, ...wholeStep, 'recordRollout', 'releaseSandbox'])
  expect(parts.map(({ phase, step }) => [step, phase])).toEqual([
    [0, 1],
    [0, 2],
    [0, 4],
    [1, 5],
    [1, 6],
    [1, 8],
  ])
  expect(parts.every((part) => !('collectedPhase' in part))).toBe(true)
  expect(records[0]).toMatchObject({ phase: 9, isCollected: true, gradingAttempts: 2 })
  expect(records[0]?.steps).toMatchObject([
    { name: 'one', rewards: { reward: 1 }, agentEnd: 'done', firstPhase: 1, lastPhase: 4 },
    { name: 'two', rewards: { reward: 0.5 }, agentEnd: 'done', firstPhase: 5, lastPhase: 8 },
  ])
})

test('a step below its least reward ends the rollout, which is graded by the steps so far', async () => {
  const { calls, outcome, records } = await runSteps([0.25, 1])
  expect(outcome).toEqual({ state: 'graded', reward: 0.25 })
  expect(calls).toEqual(['openRollout', ...wholeStep, 'recordRollout', 'releaseSandbox'])
  expect(records[0]?.steps).toHaveLength(1)
})

test('the time of the agent begins anew with each step', async () => {
  const left: unknown[] = []
  const runTurns: Activities['runTurns'] = async ({ turn, step, agentMs }) => {
    left.push([step, agentMs])
    return turn === 0 ? { turn: 1, tookMs: 45_000 } : { turn: turn + 1, tookMs: 1, end: 'done' }
  }
  await runSteps([1, 1], { script: { runTurns } })
  expect(left).toEqual([
    [0, 60_000],
    [0, 15_000],
    [1, 60_000],
    [1, 15_000],
  ])
})

test('with the strategy final the last step’s rewards are the rollout’s', async () => {
  expect((await runSteps([1, 0.25], { strategy: 'final' })).outcome).toEqual({ state: 'graded', reward: 0.25 })
})

test('a step whose setup fails fails the rollout, and its step says why', async () => {
  const prepareStep: Activities['prepareStep'] = async ({ step }) =>
    step === 1 ? failing('step-setup-failed') : { prepared: true }
  const { outcome, records } = await runSteps([1, 1], { script: { prepareStep } })
  expect(outcome).toMatchObject({ state: 'failed', code: 'step-setup-failed' })
  expect(records[0]?.steps).toMatchObject([{ rewards: { reward: 1 } }, { failure: { code: 'step-setup-failed' } }])
  expect(records[0]).not.toHaveProperty('isCollected')
})

test('a step that cannot be graded is graded again as often as the policy says, each step anew', async () => {
  let failures = 0
  const gradeRollout: Activities['gradeRollout'] = async ({ attempt }) => {
    if (attempt === 2) return { rewards: { reward: 1 }, integrity: 'clean' }
    failures += 1
    return failing('reward-missing')
  }
  const { outcome, records } = await runSteps([], {
    script: { gradeRollout },
    input: { policy: { ...policy, gradingAttempts: 2 } },
  })
  expect(outcome).toEqual({ state: 'graded', reward: 1 })
  expect(failures).toBe(2)
  expect(records[0]).toMatchObject({ gradingAttempts: 4, steps: [{ gradingAttempts: 2 }, { gradingAttempts: 2 }] })
})

test('a sandbox that is lost in the second step begins again with the first', async () => {
  const prepared: unknown[] = []
  const runTurns: Activities['runTurns'] = async ({ incarnation, step, turn }) =>
    incarnation === 1 && step === 1 ? failing('sandbox-lost') : { turn: turn + 1, end: 'done' }
  const prepareStep: Activities['prepareStep'] = async ({ incarnation, step, phase }) => {
    prepared.push([incarnation, step, phase])
    return { prepared: true }
  }
  const sandboxLoss = { policy: 'restart' as const, maxIncarnations: 2, hostLostMs: 120_000 }
  const { outcome } = await runSteps([1, 1], {
    script: { runTurns, prepareStep },
    input: { policy: { ...policy, sandboxLoss } },
  })
  expect(outcome).toEqual({ state: 'graded', reward: 1 })
  expect(prepared).toEqual([
    [1, 0, 1],
    [1, 1, 5],
    [2, 0, 1],
    [2, 1, 5],
  ])
})

test('a long history goes on as new in the middle of a step', async () => {
  const seen = new Set<string>()
  const runTurns: Activities['runTurns'] = async ({ turn, step, phase }) => {
    seen.add(`${step} ${phase}`)
    return turn > 8 ? { turn: turn + 1, end: 'done' } : { turn: turn + 1 }
  }
  const { outcome, calls } = await runSteps([1, 1], { script: { runTurns } })
  expect(outcome).toEqual({ state: 'graded', reward: 1 })
  expect([...seen]).toEqual(['0 2', '1 6'])
  expect(calls.filter((name) => name === 'prepareStep')).toHaveLength(2)
  expect(calls.filter((name) => name === 'runTurns')).toHaveLength(20)
  expect(calls.filter((name) => name === 'gradeRollout')).toHaveLength(2)
})

const apart: readonly StepPlan[] = [{ name: 'one', ...limits, separate: true }]

test('a separate verifier gets a sandbox of its own, which is gone before the agent’s', async () => {
  const { calls, opened, releases, parts, outcome } = await runSteps([1], { steps: apart })
  expect(outcome).toEqual({ state: 'graded', reward: 1 })
  const beforeVerifier = ['openRollout', 'prepareStep', 'runTurns', 'collectArtifacts']
  const verifier = ['openRollout', 'gradeRollout', 'releaseSandbox']
  expect(calls).toEqual([...beforeVerifier, ...verifier, 'recordRollout', 'releaseSandbox'])
  expect(opened).toEqual([0, 4])
  expect(parts.at(-1)).toMatchObject({ lease: { sandbox: 'verifier-4' }, phase: 4, collectedPhase: 3 })
  expect(releases.map(({ incarnations, verifiers }) => [incarnations, verifiers])).toEqual([
    [[], [{ incarnation: 1, phase: 4 }]],
    [[1], undefined],
  ])
})

test('a verifier’s sandbox that is lost is replaced; the agent’s work is not done again', async () => {
  let lost = false
  const gradeRollout: Activities['gradeRollout'] = async () => {
    if (lost) return { rewards: { reward: 1 }, integrity: 'separate' }
    lost = true
    return failing('sandbox-lost')
  }
  const sandboxLoss = { policy: 'restart' as const, maxIncarnations: 2, hostLostMs: 120_000 }
  const { outcome, calls, opened } = await runSteps([], {
    steps: apart,
    script: { gradeRollout },
    input: { policy: { ...policy, sandboxLoss } },
  })
  expect(outcome).toEqual({ state: 'graded', reward: 1 })
  expect(opened).toEqual([0, 4, 5])
  expect(calls.filter((name) => name === 'runTurns')).toHaveLength(1)
})

test.each([
  ['no more often than the policy says', { policy: 'restart' as const, maxIncarnations: 1 }],
  ['not at all where the policy is fail', { policy: 'fail' as const, maxIncarnations: 3 }],
])('a verifier’s sandbox that is lost is replaced %s', async (_, loss) => {
  const gradeRollout = async () => failing('sandbox-lost')
  const { outcome, opened } = await runSteps([], {
    steps: apart,
    script: { gradeRollout },
    input: { policy: { ...policy, sandboxLoss: { ...loss, hostLostMs: 120_000 } } },
  })
  expect(outcome).toMatchObject({ state: 'failed', code: 'sandbox-lost' })
  expect(opened).toEqual([0, 4])
})

test('failed gradings are no lost verifiers: one that is lost after them is replaced all the same', async () => {
  const fates = ['reward-missing', 'sandbox-lost'] as const
  let graded = 0
  const gradeRollout: Activities['gradeRollout'] = async () => {
    const fate = fates[graded]
    graded += 1
    return fate === undefined ? { rewards: { reward: 1 }, integrity: 'separate' } : failing(fate)
  }
  const sandboxLoss = { policy: 'restart' as const, maxIncarnations: 2, hostLostMs: 120_000 }
  const { outcome, calls } = await runSteps([], {
    steps: apart,
    script: { gradeRollout },
    input: { policy: { ...policy, sandboxLoss, gradingAttempts: 2 } },
  })
  expect(outcome).toEqual({ state: 'graded', reward: 1 })
  expect(calls.filter((name) => name === 'runTurns')).toHaveLength(1)
})

test('what could not be removed right after grading is asked for again at the end', async () => {
  let asked = 0
  const releases: (readonly unknown[] | undefined)[] = []
  const releaseSandbox: Activities['releaseSandbox'] = async ({ verifiers }) => {
    releases.push(verifiers)
    asked += 1
    if (asked === 1) failing('provider-unavailable')
  }
  const { outcome } = await runSteps([1], { steps: apart, script: { releaseSandbox } })
  expect(outcome).toEqual({ state: 'graded', reward: 1 })
  expect(releases).toEqual([[{ incarnation: 1, phase: 4 }], [{ incarnation: 1, phase: 4 }]])
})

test('artifacts that were collected from a lost sandbox are not those of the next', async () => {
  const openRollout: Activities['openRollout'] = async ({ incarnation }) => {
    const lease = { provider: 'fake', place: 'here', sandbox: 'main', incarnation, spec: 's' }
    return { lease, ...limits, separate: true }
  }
  const runTurns: Activities['runTurns'] = async ({ incarnation, turn }) =>
    incarnation === 1 ? { turn: turn + 1, end: 'done' } : failing('model-rejected')
  const sandboxLoss = { policy: 'restart' as const, maxIncarnations: 2, hostLostMs: 120_000 }
  const { outcome, records, calls } = await runSteps([], {
    script: { openRollout, runTurns, gradeRollout: async () => failing('host-lost') },
    input: { policy: { ...policy, sandboxLoss } },
  })
  expect(outcome).toMatchObject({ state: 'failed', code: 'model-rejected' })
  expect(calls).toContain('collectArtifacts')
  expect(records[0]).not.toHaveProperty('isCollected')
})

test('artifacts of a single separate verifier are collected once, however often it is graded', async () => {
  let graded = 0
  const gradeRollout: Activities['gradeRollout'] = async () => {
    graded += 1
    return graded === 1 ? failing('reward-missing') : { rewards: { reward: 1 }, integrity: 'separate' }
  }
  const openRollout: Activities['openRollout'] = async ({ incarnation, verifier }) => {
    const sandbox = verifier === undefined ? 'main' : `verifier-${verifier.phase}`
    return { lease: { provider: 'fake', place: 'here', sandbox, incarnation, spec: 's' }, ...limits, separate: true }
  }
  const { calls, outcome } = await runSteps([], {
    script: { gradeRollout, openRollout },
    input: { policy: { ...policy, gradingAttempts: 2 } },
  })
  expect(outcome).toEqual({ state: 'graded', reward: 1 })
  expect(calls.filter((name) => name === 'collectArtifacts')).toHaveLength(1)
  expect(calls.filter((name) => name === 'openRollout')).toHaveLength(3)
})
