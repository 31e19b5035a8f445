import { expect, test } from 'vitest'
import { atifTrajectory } from './atif.ts'
import type { TrajectorySource } from './atif.ts'
import { atifSchema } from './atif-schema.ts'
import { rolloutResult } from './fixtures/rollout-result.ts'
import { traceLines } from './trace.ts'
import type { TurnRecord } from './trace.ts'

const turn = (number: number, decision: TurnRecord['decision'], rest: Partial<TurnRecord> = {}): TurnRecord => ({
  incarnation: 1,
  phase: 1,
  turn: number,
  startedAt: '2026-01-02T03:04:05.000Z',
  decision,
  ...rest,
})

const bash = (command: string, callId?: string) => ({
  tool: 'bash',
  args: { command },
  ...(callId === undefined ? {} : { callId }),
})
const ran = (output: string, callId?: string) => ({
  ...(callId === undefined ? {} : { callId }),
  tool: 'bash',
  ok: true,
  output,
  outcome: 'exited' as const,
  exitCode: 0,
})

function trajectory(turns: readonly TurnRecord[], rest: Partial<TrajectorySource> = {}) {
  return atifTrajectory({
    result: rolloutResult({ task: 'a', agent: 'model', rewards: { reward: 1 } }),
    trace: traceLines({ turns, execs: [], grades: [] }),
    instructions: [{ phase: 0, text: 'Do it.' }],
    agent: { kind: 'model', model: 'openai/gpt-9' },
    ...rest,
  })
}

const talking = [
  turn(
    0,
    {
      message: 'Let me look.',
      calls: [bash('ls', 'x1'), { ...bash('pwd', 'x2'), timeoutMs: 5000 }],
      usage: { inputTokens: 10, outputTokens: 2, costUsd: 0.5, unrecordedCalls: 1 },
    },
    { results: [ran('a\n', 'x1'), ran('/app\n', 'x2')] },
  ),
  turn(1, { message: 'Done.', done: true, usage: { inputTokens: 20, cachedInputTokens: 10 } }),
]

test('a trajectory is the instruction and then one step for each turn, with its calls and what they came to', () => {
  const made = trajectory(talking)
  expect(atifSchema.parse(made)).toEqual(made)
  expect(made).toMatchObject({
    schema_version: 'ATIF-v1.7',
    session_id: 'j.a.model.1',
    agent: { name: 'model', model_name: 'openai/gpt-9' },
    steps: [
      { step_id: 1, source: 'user', message: 'Do it.' },
      {
        step_id: 2,
        source: 'agent',
        message: 'Let me look.',
        timestamp: '2026-01-02T03:04:05.000Z',
        tool_calls: [
          { tool_call_id: 'x1', function_name: 'bash', arguments: { command: 'ls' } },
          { tool_call_id: 'x2', extra: { timeout_ms: 5000 } },
        ],
        observation: { results: [{ source_call_id: 'x1', content: 'a\n' }, { source_call_id: 'x2' }] },
        metrics: { prompt_tokens: 10, completion_tokens: 2, cost_usd: 0.5, extra: { unrecorded_calls: 1 } },
        llm_call_count: 1,
      },
      { step_id: 3, message: 'Done.', metrics: { prompt_tokens: 20, cached_tokens: 10 } },
    ],
    final_metrics: { total_prompt_tokens: 30, total_completion_tokens: 2, total_cost_usd: 0.5, total_steps: 3 },
    extra: { rollcall: { state: 'graded', rewards: { reward: 1 } } },
  })
  expect(JSON.stringify(made)).not.toContain('null')
})

test('a step of an agent without a model has no metrics, whatever it reported', () => {
  const made = trajectory(talking, { agent: { kind: 'script' } })
  expect(atifSchema.parse(made)).toEqual(made)
  expect(made.steps[1]).toMatchObject({ llm_call_count: 0 })
  expect(made.steps[1]).not.toHaveProperty('metrics')
})

test('calls whose ids are missing or given twice get ids of their own, and what never ended is said', () => {
  const calls = [bash('a'), bash('b', 'same'), bash('c', 'same')]
  const made = trajectory([
    turn(0, { calls }),
    turn(1, { calls }, { results: calls.map(({ callId }) => ran('', callId)) }),
  ])
  expect(atifSchema.parse(made)).toEqual(made)
  expect(made.steps[1]?.observation?.results.map(({ extra }) => extra?.['outcome'])).toEqual(Array(3).fill('unknown'))
  expect(made.steps[2]?.tool_calls?.map((call) => call.tool_call_id)).toEqual(['p1-t1-c0', 'same', 'p1-t1-c2'])
})

test('of a rollout that lost a sandbox, the turns of the last one that had any', () => {
  const result = { ...rolloutResult({ task: 'a', rewards: { reward: 1 } }), incarnations: 2 }
  const made = trajectory(
    [turn(0, { calls: [bash('lost')] }), turn(0, { done: true, reason: 'end' }, { incarnation: 2 })],
    {
      result,
    },
  )
  expect(atifSchema.parse(made)).toEqual(made)
  expect(made.steps.map(({ message }) => message)).toEqual(['Do it.', 'end'])
  expect(made.notes).toContain('2 sandboxes')
})

test('each part of a task is told before its own turns', () => {
  const instructions = [
    { phase: 3, text: 'second' },
    { phase: 0, text: 'first' },
  ]
  const turns = [turn(0, { done: true }), turn(0, { done: true }, { phase: 3 })]
  const made = trajectory(turns, { instructions })
  expect(made.steps.map(({ source, message }) => [source, message])).toEqual([
    ['user', 'first'],
    ['agent', ''],
    ['user', 'second'],
    ['agent', ''],
  ])
})

test('a rollout that ended before its first turn has a step that says why', () => {
  const result = rolloutResult({ task: 'a', failure: { code: 'image-missing', message: 'No such image.' } })
  const made = trajectory([], { result, instructions: [] })
  expect(atifSchema.parse(made)).toEqual(made)
  expect(made.steps).toMatchObject([{ source: 'system', message: expect.stringContaining('No such image.') as string }])
})

const valid = trajectory(talking)
const [told, acted] = valid.steps

test.each([
  ['an unknown field', { ...valid, more: 1 }],
  ['an unknown field of a step', { ...valid, steps: [{ ...told, more: 1 }] }],
  ['steps that are not numbered from 1', { ...valid, steps: [acted] }],
  ['calls of a user', { ...valid, steps: [{ ...told, tool_calls: [] }] }],
  ['a result of an unknown call', { ...valid, steps: [told, { ...acted, tool_calls: [] }] }],
  ['metrics without a request', { ...valid, steps: [told, { ...acted, llm_call_count: 0 }] }],
  ['another version', { ...valid, schema_version: 'ATIF-v1.6' }],
  ['no steps', { ...valid, steps: [] }],
  ['a time that is none', { ...valid, steps: [{ ...told, timestamp: 'yesterday' }] }],
])('the schema refuses %s', (_, trajectory) => {
  expect(atifSchema.safeParse(trajectory).success).toBe(false)
})
