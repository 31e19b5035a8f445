import { existsSync, mkdtempSync, readFileSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { dirname, join } from 'node:path'
import { expect, onTestFinished, test } from 'vitest'
import type { Agent, Decision } from '../agents/agent.ts'
import type { TurnsInput } from '../protocol/activities.ts'
import type { ModelWait } from '../protocol/activity-note.ts'
import { RollcallError } from '../protocol/failure.ts'
import { rolloutId } from '../protocol/names.ts'
import { jobOptions } from '../protocol/job-options-fixture.ts'
import { openTestSandbox, uniqueScope } from '../runner/test-sandbox.ts'
import { createFileStore } from '../store/file-store.ts'
import { answerKey, openedKey } from '../store/keys.ts'
import type { StoredAnswer } from '../store/records.ts'
import { loadTaskset } from '../tasks/load-taskset.ts'
import { writeTask } from '../tasks/task-fixture.ts'
import { hostValues } from './host-values.ts'
import { resolveSpec } from './resolve-spec.ts'
import { AgentTime } from './agent-time.ts'
import { runTurns } from './run-turns.ts'
import { execScope } from './sandbox-name.ts'
import { putJsonOnce } from '../store/stored-json.ts'

const bash = (command: string): Decision => ({ calls: [{ tool: 'bash', args: { command } }] })

/** An agent that answers turn n with the nth decision, counts how often it is asked, and then is done. */
function scriptedAgent(...decisions: (Decision | Error)[]): Agent & { asked: number } {
  const agent = {
    name: 'scripted',
    asked: 0,
    next: async ({ transcript }: { transcript: readonly unknown[] }): Promise<Decision> => {
      agent.asked += 1
      const decision = decisions[transcript.length] ?? { done: true }
      if (decision instanceof Error) throw decision
      return decision
    },
  }
  return agent
}

/** A rollout whose sandbox is open: `take` runs the activity as a first attempt, `retry` as a later one. */
async function openedRollout(agent: Agent, limits: Partial<ReturnType<typeof jobOptions>['limits']> = {}) {
  const folder = mkdtempSync(join(tmpdir(), 'rollcall-turns-'))
  onTestFinished(() => rmSync(folder, { recursive: true }))
  const sandbox = await openTestSandbox({ shell: 'dash' })
  onTestFinished(() => sandbox[Symbol.asyncDispose]())
  const directory = await writeTask()
  onTestFinished(() => rmSync(dirname(directory), { recursive: true }))
  const [task] = (await loadTaskset(directory)).tasks
  if (task === undefined) throw new Error('The fixture holds no task')
  const options = jobOptions({ limits: { maxTurns: 10, agentTimeoutMs: 60_000, ...limits } })
  const context = { job: uniqueScope(), store: createFileStore(folder), options, tools: async () => [] }
  const lease = { provider: 'local', place: 'here', sandbox: 's', incarnation: 1, spec: 'x' }
  const input: TurnsInput = {
    job: context.job,
    storeUrl: context.store.url,
    rollout: 'a.nop.1',
    incarnation: 1,
    owner: 'o',
    lease,
    phase: 1,
    turn: 0,
    agentMs: 60_000,
    sliceMs: 60_000,
  }
  const opened = { lease, agentTimeoutMs: 1, verifierTimeoutMs: 1 }
  await putJsonOnce(context.store, openedKey(input), { opened, image: 'i', workdir: sandbox.workdir, execs: [] })
  const spec = resolveSpec({ task, agent, options })
  const host = hostValues({ spec, options, services: { secrets: () => ({}) } })
  const rollout = { task, agent, spec, host }
  const waits: (ModelWait | undefined)[] = []
  const taking = (isRetry: boolean, time: AgentTime) => (more: Partial<TurnsInput>) =>
    runTurns(
      { ...input, ...more },
      {
        context,
        rollout,
        runner: sandbox.open(),
        signal: new AbortController().signal,
        time,
        isRetry,
        onWait: (wait) => waits.push(wait),
      },
    )
  const attempt = (isRetry: boolean) => async (more: Partial<TurnsInput>) => {
    const { tookMs: _, ...result } = await taking(isRetry, new AgentTime())(more)
    return result
  }
  const answer = async (turn: number) => {
    const bytes = await context.store.get(answerKey({ ...input, turn }))
    return bytes === undefined ? undefined : (JSON.parse(bytes.toString()) as StoredAnswer)
  }
  return { sandbox, input, store: context.store, take: attempt(false), retry: attempt(true), taking, answer, waits }
}

test('a second attempt asks nobody and starts nothing that the first has recorded', async () => {
  const agent = scriptedAgent(bash('echo once >>log'), bash('echo twice >>log'))
  const { sandbox, take, retry } = await openedRollout(agent)
  expect(await take({})).toEqual({ turn: 2, end: 'done' })
  expect(await retry({})).toEqual({ turn: 2, end: 'done' })
  expect(agent.asked).toBe(3)
  expect(readFileSync(join(sandbox.workdir, 'log'), 'utf8')).toBe('once\ntwice\n')
})

test('an answer that an attempt stored before it died is acted on; the agent is not asked again', async () => {
  const agent = scriptedAgent(bash('touch asked-again'))
  const { sandbox, input, store, retry } = await openedRollout(agent)
  const stored: StoredAnswer = { decision: bash('touch stored'), startedAt: new Date(0).toISOString() }
  await putJsonOnce(store, answerKey({ ...input, turn: 0 }), stored)
  await retry({ sliceMs: 0 })
  expect(agent.asked).toBe(0)
  expect(['stored', 'asked-again'].map((name) => existsSync(join(sandbox.workdir, name)))).toEqual([true, false])
})

test('a command of an attempt that died before it recorded the result runs once', async () => {
  const agent = scriptedAgent(bash('echo once >>log'))
  const { sandbox, store, take, retry } = await openedRollout(agent)
  const putOnce = store.putOnce.bind(store)
  store.putOnce = (key, value) =>
    key.endsWith('.result.json') ? Promise.reject(new Error('the worker died')) : putOnce(key, value)
  await expect(take({ sliceMs: 0 })).rejects.toThrow('the worker died')
  store.putOnce = putOnce
  expect(await retry({ sliceMs: 0 })).toEqual({ turn: 1 })
  expect(readFileSync(join(sandbox.workdir, 'log'), 'utf8')).toBe('once\n')
})

test('an agent that has submitted is done, though its attempt died before it could say so and time is over', async () => {
  const agent = scriptedAgent({ calls: [{ tool: 'submit', args: {} }] })
  const { take, retry } = await openedRollout(agent)
  expect(await take({})).toEqual({ turn: 1, end: 'done' })
  expect(await retry({ agentMs: 0 })).toEqual({ turn: 1, end: 'done' })
  expect(agent.asked).toBe(1)
})

test('only the first question of a retry may have been asked before, and its usage says so', async () => {
  const used = (decision: Decision): Decision => ({ ...decision, usage: { inputTokens: 1 } })
  const { retry, answer } = await openedRollout(scriptedAgent(used(bash('true')), used(bash('true'))))
  await retry({})
  expect((await answer(0))?.decision.usage).toEqual({ inputTokens: 1, unrecordedCalls: 1 })
  expect((await answer(1))?.decision.usage).toEqual({ inputTokens: 1 })
})

test('limits end the agent’s part as outcomes', async () => {
  const decision = { ...bash('true'), usage: { inputTokens: 3, outputTokens: 2 } }
  const agent = scriptedAgent(decision, decision, decision)
  const turns = await openedRollout(agent, { maxTurns: 2 })
  expect(await turns.take({})).toEqual({ turn: 2, end: 'max-turns' })
  const tokens = await openedRollout(agent, { maxTokens: 5 })
  expect(await tokens.take({})).toEqual({ turn: 1, end: 'max-tokens' })
  const late = await openedRollout(agent)
  expect(await late.take({ agentMs: 0 })).toEqual({ turn: 0, end: 'agent-timeout' })
})

test('a command that outlasts the deadline is the agent’s timeout; a model that stays away is a failure', async () => {
  const slow = await openedRollout(scriptedAgent(bash('sleep 60')))
  expect(await slow.take({ agentMs: 300 })).toEqual({ turn: 0, end: 'agent-timeout' })
  const away = await openedRollout(scriptedAgent(new RollcallError('model-unavailable', 'busy')))
  const failure = { code: 'model-unavailable', message: 'busy', isFinal: true }
  await expect(away.take({ agentMs: 300 })).rejects.toMatchObject(failure)
  expect(away.waits).toEqual([
    { attempt: 2, failure: { code: failure.code, message: 'busy' }, atMs: expect.any(Number) },
  ])
})

test('a model that is asked once more when the deadline comes has stayed away', async () => {
  let asked = 0
  const slow: Agent = {
    name: 'slow',
    next: async ({ signal }) => {
      asked += 1
      if (asked === 1) throw new RollcallError('model-unavailable', 'busy', { retryAfterMs: 1 })
      return await new Promise<never>((_, reject) => signal.addEventListener('abort', () => reject(signal.reason)))
    },
  }
  const { take } = await openedRollout(slow)
  await expect(take({ agentMs: 500 })).rejects.toMatchObject({ code: 'model-unavailable', isFinal: true })
  expect(asked).toBe(2)
})

test('a model that was away and answers is no longer waited for', async () => {
  const decisions = [new RollcallError('model-unavailable', 'busy', { retryAfterMs: 1 })]
  const agent: Agent = {
    name: 'away',
    next: async () => {
      const error = decisions.pop()
      if (error !== undefined) throw error
      return { done: true }
    },
  }
  const { take, waits } = await openedRollout(agent)
  expect(await take({})).toEqual({ turn: 0, end: 'done' })
  expect(waits).toEqual([expect.objectContaining({ attempt: 2 }), undefined])
})

test('what earlier attempts took of the agent’s time is gone; what passed between them is not', async () => {
  const { taking } = await openedRollout(scriptedAgent(bash('sleep 0.2')))
  const spent = await taking(true, new AgentTime(50_000))({ agentMs: 50_000 })
  expect(spent).toEqual({ turn: 0, end: 'agent-timeout', tookMs: expect.any(Number) })
  const rest = await taking(true, new AgentTime(50_000))({ agentMs: 60_000 })
  expect(rest).toMatchObject({ turn: 1, end: 'done' })
  expect(rest.tookMs).toBeGreaterThanOrEqual(50_200)
  expect(rest.tookMs).toBeLessThan(60_000)
})

test('a deadline beyond what a timer can wait for does not come at once', async () => {
  const { sandbox, take } = await openedRollout(scriptedAgent(bash('sleep 0.3; echo done >>log')))
  expect(await take({ agentMs: 30 * 86_400_000 })).toEqual({ turn: 1, end: 'done' })
  expect(readFileSync(join(sandbox.workdir, 'log'), 'utf8')).toBe('done\n')
})

test('a model that wants to be left alone for months is not asked again at once', async () => {
  const retryAfterMs = 90 * 86_400_000
  const agent = scriptedAgent(new RollcallError('model-unavailable', 'closed', { retryAfterMs }))
  const { take } = await openedRollout(agent)
  await expect(take({ agentMs: 300 })).rejects.toMatchObject({ code: 'model-unavailable' })
  expect(agent.asked).toBe(1)
})

test('an agent that throws has failed', async () => {
  const { take } = await openedRollout(scriptedAgent(new TypeError('no such field')))
  await expect(take({})).rejects.toMatchObject({ code: 'agent-failed' })
})

test('the commands of a turn say that those of the turns before it are recorded and may be forgotten', async () => {
  const { sandbox, input, take } = await openedRollout(scriptedAgent(bash('echo first'), bash('echo second')))
  await take({})
  const id = { scope: execScope(rolloutId(input.job, input.rollout)), phase: 1, call: 0, part: 0 }
  const asked = async (batch: number) => {
    const runner = sandbox.open()
    return (await runner.exec({ id: { ...id, batch }, script: 'echo again', timeoutMs: 60_000 })).outcome
  }
  expect(await asked(0)).toEqual({ type: 'lost', reason: 'acknowledged' })
  expect(await asked(1)).toEqual({ type: 'exited', code: 0 })
})

test('a service that is busy is asked again when it has said', async () => {
  const scripted = scriptedAgent()
  const busy = new RollcallError('model-unavailable', 'busy', { retryAfterMs: 10 })
  let refusals = 2
  const next: Agent['next'] = (asked) => (refusals-- > 0 ? Promise.reject(busy) : scripted.next(asked))
  const { take } = await openedRollout({ ...scripted, next })
  // Without its word it would be a second.
  expect(await take({ agentMs: 900 })).toEqual({ turn: 0, end: 'done' })
})
