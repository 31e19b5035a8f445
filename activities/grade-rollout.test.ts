import { randomUUID } from 'node:crypto'
import { expect, onTestFinished, test } from 'vitest'
import { RollcallError } from '../protocol/failure.ts'
import type { JobOptions } from '../protocol/job.ts'
import { liveExecs } from '../runner/live-execs.ts'
import type { Runner } from '../runner/runner.ts'
import { inside } from '../providers/host-sandbox/paths.ts'
import { makeRequest, runnerOf } from '../providers/host-sandbox/sandbox-fixture.ts'
import { enteredPrefix, gradeFileKey, gradeKey, openedKey } from '../store/keys.ts'
import type { FixtureFile } from '../tasks/task-fixture.ts'
import type { StoredOpening } from '../store/records.ts'
import { jobOfOneTask } from './activities-fixture.ts'
import { gradeRollout } from './grade-rollout.ts'
import { execScope, gradingScope } from './sandbox-name.ts'

const reward = (value: string) => `echo ${value} > /logs/verifier/reward.txt`

/** A rollout whose agent is done, in a real sandbox; `grade` is one attempt of the activity. */
async function rolloutToGrade(
  tests: string,
  toml = '',
  options: Partial<JobOptions> = {},
  more: { files?: Record<string, FixtureFile>; step?: number } = {},
) {
  const job = await jobOfOneTask({
    options,
    files: {
      'tests/test.sh': `#!/bin/bash\n${tests}\n`,
      'task.toml': `schema_version = "1.4"\n${toml}`,
      ...more.files,
    },
  })
  const { context, provider } = job
  const request = makeRequest()
  await provider.createOrAdopt(request)
  onTestFinished(() => provider.destroy(request.name))
  const runner = runnerOf(provider, request.name, { pingMs: 200 })
  onTestFinished(() => runner.close())
  const lease = { provider: 'fake', place: 'here', sandbox: request.name, incarnation: 1, spec: 'x' }
  // Markers of commands are seen by all tests of this machine: a job of its own.
  const id = randomUUID().slice(0, 8)
  const at = { storeUrl: context.store.url, rollout: 'a-task.oracle.1', incarnation: 1, owner: 'o', lease }
  const rollout = await context.rollout('a-task.oracle.1')
  const { signal } = new AbortController()
  const { capabilities } = provider
  const step = more.step === undefined ? {} : { step: more.step }
  const input = { ...at, job: id, phase: 2, attempt: 1, ...step }
  const grade = (phase = 2, through: Runner = runner) =>
    gradeRollout({ ...input, phase, attempt: phase - 1 }, { context, rollout, runner: through, capabilities, signal })
  const scope = execScope(`${id}.a-task.oracle.1`)
  const gradings = gradingScope({ rolloutId: `${id}.a-task.oracle.1`, owner: 'o', phase: 2 })
  const agentRuns = (script: string, { phase = 1, call = 0, within = scope } = {}) =>
    runner.exec({ id: { scope: within, phase, batch: 0, call, part: 0 }, script, timeoutMs: 10_000 })
  const opensWith = async (users: StoredOpening['users'] = {}) => {
    const opening = { workdir: '/', users, system: await provider.systemPicture?.(request.name) }
    await context.store.putOnce(openedKey(input), Buffer.from(JSON.stringify(opening)))
  }
  return { grade, agentRuns, runner, store: context.store, input, gradings, opensWith }
}

/** The runner, but before a call of the grading something else happens. */
function before(runner: Runner, call: number, happens: () => Promise<unknown>): Runner {
  return {
    ...liveExecs(runner),
    acknowledge: (mark) => runner.acknowledge(mark),
    stop: (mark) => runner.stop(mark),
    hello: () => runner.hello(),
    close: () => runner.close(),
    exec: async (request, options) => {
      if (request.id.call === call) await happens()
      return await runner.exec(request, options)
    },
  }
}

test('the reward that the tests write is the grade, whatever their exit code', async () => {
  const { grade, store, input } = await rolloutToGrade(`echo checking; ${reward('0.25')}; exit 3`)
  expect(await grade()).toEqual({ rewards: { reward: 0.25 }, integrity: 'clean' })
  expect(String(await store.get(gradeFileKey({ ...input, name: 'test-stdout.txt' })))).toBe('checking\n')
  expect(String(await store.get(gradeFileKey({ ...input, name: 'reward.txt' })))).toBe('0.25\n')
})

test('what the agent wrote where the tests write does not count', async () => {
  const { grade, agentRuns } = await rolloutToGrade('true')
  await agentRuns(`mkdir -p /logs/verifier; ${reward('1')}`)
  await expect(grade()).rejects.toMatchObject({ code: 'reward-missing' })
})

test('answers that the agent has put into the journal beforehand are not those of grading', async () => {
  const { grade, agentRuns } = await rolloutToGrade(reward('0'))
  // The agent's own claim and output, under every id that grading could have in the agent's scope.
  const forged = await agentRuns(`
    scope=\${ROLLCALL_EXEC%%/*}
    for phase in 2 3 4; do
      for answer in '0:1\\n1 0 1\\nsteady\\n' '1:' '2:' '3:' '4:reward.txt\\n1\\n' '5:reward.txt\\n1\\n'; do
        name=$phase-0-\${answer%%:*}-0
        printf '%-5s %-9s %-17s %-3s !\\n.\\n1 1 100 9999999\\n' x 0 100 0 >"${inside.journal}/$scope/$name"
        printf "\${answer#*:}" >"${inside.output}/$scope/$name.out"
        : >"${inside.output}/$scope/$name.err"
      done
    done`)
  expect(forged.outcome).toEqual({ type: 'exited', code: 0 })
  expect(await grade()).toEqual({ rewards: { reward: 0 }, integrity: 'clean' })
})

test('graded again after its worker died before it stored the grade, the tests do not run twice', async () => {
  const { grade, runner } = await rolloutToGrade(`echo x >> /runs; ${reward('$(wc -l < /runs)')}`)
  const diesBeforeTheReward = before(runner, 4, () => Promise.reject(new Error('the worker died')))
  await expect(grade(2, diesBeforeTheReward)).rejects.toThrow('the worker died')
  expect(await grade()).toEqual({ rewards: { reward: 1 }, integrity: 'clean' })
})

test('a failure of the grader is stored and told again; another grading attempt has a phase of its own', async () => {
  const { grade, store, input } = await rolloutToGrade(`[ -e /again ] && ${reward('1')}; touch /again`)
  await expect(grade()).rejects.toMatchObject({ code: 'reward-missing' })
  await expect(grade()).rejects.toMatchObject({ code: 'reward-missing' })
  expect(JSON.parse(String(await store.get(gradeKey(input))))).toMatchObject({ failure: { code: 'reward-missing' } })
  expect(await grade(3)).toMatchObject({ rewards: { reward: 1 } })
})

test('tests that take too long are a failure of the grader', async () => {
  const { grade } = await rolloutToGrade('echo slow; sleep 60', '[verifier]\ntimeout_sec = 0.3\n')
  const grading = grade()
  await expect(grading).rejects.toMatchObject({ code: 'grader-timeout' })
  await expect(grading).rejects.toThrow('the tests printed: …slow')
})

test('a process that the agent has left running makes the grade live, and is named', async () => {
  const { grade, agentRuns, store, input } = await rolloutToGrade(reward('1'))
  await agentRuns('setsid sleep 4321 >/dev/null 2>&1 &')
  expect(await grade()).toEqual({ rewards: { reward: 1 }, integrity: 'live' })
  const { processes } = JSON.parse(String(await store.get(gradeKey(input))))
  expect(processes).toEqual(['sleep 4321'])
})

test('a list of processes that is not whole counts as if some were left', async () => {
  const { grade, runner, store, input } = await rolloutToGrade(reward('1'))
  const script = "printf '1\\n1 0 1\\nunsteady\\n'"
  const unsteady: Runner = {
    ...before(runner, -1, async () => {}),
    exec: (request, options) => runner.exec(request.id.call === 0 ? { ...request, script } : request, options),
  }
  expect(await grade(2, unsteady)).toEqual({ rewards: { reward: 1 }, integrity: 'live' })
  const { processes } = JSON.parse(String(await store.get(gradeKey(input))))
  expect(processes).toEqual(['unknown: the sandbox gave no steady list of its processes'])
})

test('a reward that changes after the tests have ended is a failure', async () => {
  const { grade, agentRuns, runner } = await rolloutToGrade(reward('1'))
  const meddled = before(runner, 5, () => agentRuns(reward('2'), { phase: 3 }))
  await expect(grade(2, meddled)).rejects.toMatchObject({ code: 'grade-tampered' })
})

test('where nobody knows what became of reading the reward, it is not the reward that is to blame', async () => {
  const { grade, agentRuns, runner, gradings: within } = await rolloutToGrade(reward('1'))
  const killed = before(runner, 4, () => agentRuns('kill -9 $PPID', { phase: 2, call: 4, within }))
  const grading = grade(2, killed)
  await expect(grading).rejects.toMatchObject({ code: 'grader-failed' })
  await expect(grading).rejects.toThrow('reading the reward is unknown (supervisor-gone)')
  expect(await grade(3)).toMatchObject({ rewards: { reward: 1 } })
})

test('a grade of a weaker class than the job requires is a failure that says why, and keeps its evidence', async () => {
  const { grade, agentRuns, store, input } = await rolloutToGrade(reward('1'), '', { requireIntegrity: 'clean' })
  await agentRuns('setsid sleep 61 >/dev/null 2>&1 &')
  const error = { code: 'integrity-too-weak', message: expect.stringMatching(/is live, weaker than clean.*sleep 61/) }
  await expect(grade()).rejects.toMatchObject(error)
  await expect(grade()).rejects.toMatchObject(error)
  const kept = JSON.parse(String(await store.get(gradeKey(input))))
  expect(kept).toMatchObject({ integrity: 'live', processes: [expect.stringContaining('sleep 61')] })
  expect(kept.rewards).toBeUndefined()
})

test('where there is no reward, its class is no reason', async () => {
  const { grade, agentRuns } = await rolloutToGrade('true', '', { requireIntegrity: 'clean' })
  await agentRuns('setsid sleep 62 >/dev/null 2>&1 &')
  await expect(grade()).rejects.toMatchObject({ code: 'reward-missing' })
})

test('tests run with the task’s own variables, also where nobody has made them executable', async () => {
  const files = { 'tests/test.sh': `${reward('$GIVEN')}\n` }
  const { grade } = await rolloutToGrade('', '[verifier.env]\nGIVEN = "0.75"\n', {}, { files })
  expect(await grade()).toMatchObject({ rewards: { reward: 0.75 } })
})

test('a grade of the class that is required counts', async () => {
  const { grade } = await rolloutToGrade(reward('1'), '', { requireIntegrity: 'clean' })
  expect(await grade()).toEqual({ rewards: { reward: 1 }, integrity: 'clean' })
})

test('a grade of a sandbox that a person has entered is claimed to be no better than live, and says who came', async () => {
  const { grade, store, input } = await rolloutToGrade(reward('1'))
  const visit = { who: 'ada@laptop', at: '2026-01-02T03:04:05.000Z' }
  await store.putOnce(`${enteredPrefix(input)}1-1.json`, Buffer.from(JSON.stringify(visit)))
  expect(await grade()).toEqual({ rewards: { reward: 1 }, integrity: 'live' })
  expect(JSON.parse(String(await store.get(gradeKey(input))))).toMatchObject({
    processes: ['rollcall shell: ada@laptop entered at 2026-01-02T03:04:05.000Z'],
  })
})

test.each([
  { users: { agent: 1000, verifier: 0 }, integrity: 'non-root' },
  { users: { agent: 1000, verifier: 1000 }, integrity: 'clean' },
  { users: { agent: 0, verifier: 1000 }, integrity: 'clean' },
  { users: { verifier: 0 }, integrity: 'clean' },
])('of users $users a grade is $integrity', async ({ users, integrity }) => {
  const { grade, store, input } = await rolloutToGrade(reward('1'))
  await store.putOnce(openedKey(input), Buffer.from(JSON.stringify({ workdir: '/', users })))
  expect(await grade()).toEqual({ rewards: { reward: 1 }, integrity })
})

test.each([
  {
    steps: [
      { agent: 1000, verifier: 0 },
      { agent: 1000, verifier: 0 },
    ],
    integrity: 'non-root',
  },
  {
    steps: [
      { agent: 0, verifier: 1000 },
      { agent: 1000, verifier: 0 },
    ],
    integrity: 'clean',
  },
  {
    steps: [
      { agent: 1001, verifier: 0 },
      { agent: 1000, verifier: 1001 },
    ],
    integrity: 'clean',
  },
  { steps: [{ agent: 1000, verifier: 0 }, { agent: 1000 }], integrity: 'clean' },
  {
    steps: [
      { agent: 1000, verifier: 0 },
      { agent: 1000, verifier: 0 },
      { agent: 0, verifier: 0 },
    ],
    integrity: 'non-root',
  },
])(
  'a second step’s grade is judged by the users of the steps so far: $steps is $integrity',
  async ({ steps, integrity }) => {
    const names = ['one', 'two', 'three']
    const files = Object.fromEntries(names.map((name) => [`steps/${name}/instruction.md`, 'Do it.']))
    const toml = names.map((name) => `[[steps]]\nname = "${name}"\n`).join('')
    const { grade, store, input } = await rolloutToGrade(reward('1'), toml, {}, { files, step: 1 })
    await store.putOnce(openedKey(input), Buffer.from(JSON.stringify({ workdir: '/', stepUsers: steps })))
    expect(await grade()).toEqual({ rewards: { reward: 1 }, integrity })
  },
)

test('system paths that have changed are kept as evidence, and an agent that changed them was no agent without root', async () => {
  const { grade, agentRuns, store, input, opensWith } = await rolloutToGrade(`touch /etc/of-the-tests; exit`)
  await opensWith({ agent: 1000, verifier: 0 })
  await agentRuns('echo x >>/etc/passwd; touch /etc/ld.so.preload /app/mine')
  await expect(grade()).rejects.toMatchObject({ code: 'reward-missing' })
  const changed = { integrity: 'clean', changedPaths: ['/etc/ld.so.preload', '/etc/passwd'] }
  expect(JSON.parse(String(await store.get(gradeKey(input))))).toMatchObject(changed)
  await expect(grade(3)).rejects.toMatchObject({ code: 'reward-missing' })
  expect(JSON.parse(String(await store.get(gradeKey({ ...input, phase: 3 }))))).toMatchObject(changed)
})

test('what tests have changed is not held against those that are run after them', async () => {
  const { grade, store, input, opensWith } = await rolloutToGrade(
    `touch /etc/of-the-tests; [ -e /again ] && ${reward('1')}; touch /again`,
  )
  await opensWith({ agent: 1000, verifier: 0 })
  await expect(grade()).rejects.toMatchObject({ code: 'reward-missing' })
  expect(await grade(3)).toEqual({ rewards: { reward: 1 }, integrity: 'non-root' })
  expect(JSON.parse(String(await store.get(gradeKey({ ...input, phase: 3 })))).changedPaths).toBeUndefined()
})

test('a grade that is too weak for changed paths names them', async () => {
  const { grade, agentRuns, opensWith } = await rolloutToGrade(reward('1'), '', { requireIntegrity: 'non-root' })
  await opensWith()
  await agentRuns('touch /etc/ld.so.preload')
  await expect(grade()).rejects.toThrow('changed before the tests: /etc/ld.so.preload')
})

test('an agent that could become root is not bound by its number', async () => {
  const { grade, opensWith } = await rolloutToGrade(reward('1'))
  await opensWith({ agent: 1000, verifier: 0, isFree: true })
  expect(await grade()).toEqual({ rewards: { reward: 1 }, integrity: 'clean' })
})

test('what an agent without root has left running may have read the tests: such a grade is live', async () => {
  const { grade, agentRuns, store, input } = await rolloutToGrade(reward('1'))
  await store.putOnce(
    openedKey(input),
    Buffer.from(JSON.stringify({ workdir: '/', users: { agent: 1000, verifier: 0 } })),
  )
  await agentRuns('sleep 600 >/dev/null 2>&1 &')
  expect(await grade()).toEqual({ rewards: { reward: 1 }, integrity: 'live' })
})

test('what ends by itself a moment after the turns is not held against the grade', async () => {
  const { grade, agentRuns, runner } = await rolloutToGrade(reward('1'))
  await agentRuns('while [ ! -e /tmp/seen ]; do sleep 0.02; done >/dev/null 2>&1 &')
  let looks = 0
  const seen = before(runner, 0, async () => {
    looks += 1
    if (looks === 2) await agentRuns('touch /tmp/seen', { phase: 3 })
  })
  expect(await grade(2, seen)).toEqual({ rewards: { reward: 1 }, integrity: 'clean' })
  expect(looks).toBeGreaterThan(1)
})

test('a command of the agent that still runs is ended before the tests, and one that comes late is never begun', async () => {
  const isStill = 'before=$(wc -l < /ticks); sleep 0.2; [ $before = $(wc -l < /ticks) ]'
  const { grade, agentRuns } = await rolloutToGrade(`${isStill} && [ ! -e /late ] && ${reward('1')}`)
  const running = agentRuns('while :; do echo x >> /ticks; sleep 0.01; done')
  await agentRuns('until [ -e /ticks ]; do sleep 0.02; done', { call: 1 })
  expect(await grade()).toEqual({ rewards: { reward: 1 }, integrity: 'clean' })
  await running
  expect((await agentRuns('touch /late', { call: 2 })).outcome).toEqual({ type: 'lost', reason: 'acknowledged' })
  expect(await grade(3)).toMatchObject({ rewards: { reward: 1 } })
})

test('a sandbox that is lost while it is graded leaves no grade behind', async () => {
  const { grade, runner, store, input } = await rolloutToGrade(reward('1'))
  const lost = before(runner, 3, () => Promise.reject(new RollcallError('sandbox-lost', 'It is gone')))
  await expect(grade(2, lost)).rejects.toMatchObject({ code: 'sandbox-lost' })
  expect(await store.get(gradeKey(input))).toBeUndefined()
})

test('a grade that is stored is told again without the sandbox', async () => {
  const { grade, runner } = await rolloutToGrade(reward('1'))
  const first = await grade()
  const gone = () => Promise.reject(new RollcallError('sandbox-lost', 'It is gone'))
  expect(await grade(2, { ...before(runner, -1, gone), stop: gone, exec: gone })).toEqual(first)
})

test('tests whose fate nobody knows are a failure of the grader', async () => {
  const { grade, agentRuns, runner, gradings: within } = await rolloutToGrade(reward('1'))
  const killed = before(runner, 3, () => agentRuns('kill -9 $PPID', { phase: 2, call: 3, within }))
  const grading = grade(2, killed)
  await expect(grading).rejects.toMatchObject({ code: 'grader-failed' })
  await expect(grading).rejects.toThrow('The fate of the tests is unknown (supervisor-gone)')
})

test('what was printed of a reward whose reading has failed is no reward', async () => {
  const { grade, agentRuns, runner, gradings: within } = await rolloutToGrade(reward('1'))
  const cut = async () => {
    for (const call of [4, 5]) await agentRuns('printf "reward.txt\\n1"; exit 1', { phase: 2, call, within })
  }
  await expect(grade(2, before(runner, 4, cut))).rejects.toThrow('The reward cannot be read')
})
