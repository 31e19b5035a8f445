import { expect, test } from 'vitest'
import { jobOptions } from '../protocol/job-options-fixture.ts'
import { loadHarborTask } from '../tasks/harbor-task.ts'
import { writeTask } from '../tasks/task-fixture.ts'
import { limitProblems } from './limit-problems.ts'
import { agentSetupTimeoutMs, multiplied, planOf } from './task-limits.ts'
import { resolveSpec } from './resolve-spec.ts'

const steps = `
[agent]
timeout_sec = 10
[verifier]
timeout_sec = 20
[[steps]]
name = "one"
min_reward = 0.5
[steps.agent]
timeout_sec = 1
[[steps]]
name = "two"
[steps.verifier]
timeout_sec = 2
environment_mode = "separate"
[steps.verifier.environment]
docker_image = "verifier"
`

async function taskOf(toml: string) {
  const loaded = await loadHarborTask(
    await writeTask({ 'task.toml': toml, 'steps/one/instruction.md': '1', 'steps/two/instruction.md': '2' }),
  )
  if ('problems' in loaded) throw new Error(JSON.stringify(loaded.problems))
  return loaded.task
}

test('the workflow is told each step’s limits, its least rewards and whether its verifier is separate', async () => {
  const task = await taskOf(steps)
  const common = { agentTimeoutMs: 10_000, verifierTimeoutMs: 20_000 }
  expect(planOf(task, jobOptions())).toMatchObject({
    rewardStrategy: 'mean',
    steps: [
      { ...common, name: 'one', agentTimeoutMs: 1_000, minReward: { reward: 0.5 } },
      { ...common, name: 'two', verifierTimeoutMs: 2_000, separate: true },
    ],
  })
})

test('a phase’s own multiplier goes before the one for all', async () => {
  const options = jobOptions({ timeoutMultipliers: { all: 3, agent: 0.5, environmentBuild: 2 } })
  expect(multiplied(1_000, options, 'agent')).toBe(500)
  expect(multiplied(1_000, options, 'verifier')).toBe(3_000)
  const [one, two] = planOf(await taskOf(steps), options).steps ?? []
  expect([one?.agentTimeoutMs, one?.verifierTimeoutMs]).toEqual([500, 60_000])
  expect([two?.agentTimeoutMs, two?.verifierTimeoutMs]).toEqual([5_000, 6_000])
  expect(agentSetupTimeoutMs(options)).toBe(3 * agentSetupTimeoutMs(jobOptions()))
  const task = await taskOf(`[environment]\nbuild_timeout_sec = 7\n${steps}`)
  const spec = resolveSpec({ task, agent: { name: 'a', next: async () => ({ done: true }) }, options })
  expect(spec.limits.startTimeoutMs).toBe(14_000)
})

test('limits that just hold together are no problem, and one millisecond less is', async () => {
  // Agents 1 s and 10 s, tests 20 s and 2 s.
  const task = await taskOf(steps)
  const fields = (limits: Record<string, number>, endsIdle = false) =>
    limitProblems({ task, options: jobOptions({ runtime: { limits } }), endsIdle }).map(({ field }) => field)
  expect(fields({ lifetimeMs: 33_000, execTimeoutMs: 11_000, startTimeoutMs: 33_000 })).toEqual([])
  expect(fields({ lifetimeMs: 32_999 })).toEqual(['limits.lifetimeMs'])
  expect(fields({ execTimeoutMs: 11_001 })).toEqual(['limits.execTimeoutMs'])
  expect(fields({ lifetimeMs: 33_000, startTimeoutMs: 33_001 })).toEqual(['limits.startTimeoutMs'])
  expect(fields({ idleTimeoutMs: 11_000 }, true)).toEqual([])
  expect(fields({ idleTimeoutMs: 10_999 }, true)).toEqual(['limits.idleTimeoutMs'])
  expect(fields({ idleTimeoutMs: 11_000 })).toEqual(['limits.idleTimeoutMs'])
})
