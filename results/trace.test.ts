import { expect, test } from 'vitest'
import { traceExecId, traceLines, traceText } from './trace.ts'
import type { ExecRecord } from '../store/records.ts'
import type { TurnRecord } from './trace.ts'

function exec(phase: number, batch: number, call: number, part = 0, incarnation = 1): ExecRecord {
  return {
    incarnation,
    id: { scope: 's', phase, batch, call, part },
    command: `echo ${phase}`,
    outcome: { type: 'exited', code: 0 },
    startedAt: '2026-01-02T03:04:05.000Z',
    durationMs: 20,
    stdout: { bytes: 3, truncated: false, key: 'jobs/j/out' },
    stderr: { bytes: 0, truncated: false },
  }
}

function turn(
  number: number,
  results: TurnRecord['results'] = [{ tool: 'bash', ok: true, output: '', outcome: 'exited' }],
) {
  const calls = [
    { tool: 'bash', args: { command: 'x' } },
    { tool: 'bash', args: {} },
  ]
  return { incarnation: 1, phase: 1, turn: number, decision: { message: 'hm', calls }, ...(results ? { results } : {}) }
}

test('lines stand in the order of the rollout, whatever order they were recorded in', () => {
  const lines = traceLines({
    grades: [{ incarnation: 1, phase: 2, rewards: { reward: 1 }, integrity: 'clean' }],
    execs: [exec(2, 0, 0), exec(1, 10, 0), exec(1, 2, 1), exec(1, 2, 0, 1), exec(1, 2, 0), exec(0, 0, 0)],
    turns: [turn(10), turn(2)],
  })
  const names = lines.map((line) => {
    if (line.type === 'exec') return line.id
    if (line.type === 'call') return `call ${line.turn}.${line.call}`
    return line.type === 'turn' ? `turn ${line.turn}` : line.type
  })
  expect(names).toEqual([
    'i1-0-0-0-0',
    'turn 2',
    'i1-1-2-0-0',
    'i1-1-2-0-1',
    'call 2.0',
    'i1-1-2-1-0',
    'call 2.1',
    'turn 10',
    'i1-1-10-0-0',
    'call 10.0',
    'call 10.1',
    'i1-2-0-0-0',
    'grade',
  ])
})

test('an exec line says what ran, how it ended, when, how long and how much it wrote', () => {
  const [line] = traceLines({ turns: [], grades: [], execs: [exec(1, 2, 3, 4)] })
  expect(line).toEqual({
    type: 'exec',
    id: 'i1-1-2-3-4',
    incarnation: 1,
    phase: 1,
    batch: 2,
    call: 3,
    part: 4,
    command: 'echo 1',
    outcome: { type: 'exited', code: 0 },
    startedAt: '2026-01-02T03:04:05.000Z',
    durationMs: 20,
    stdoutBytes: 3,
    stderrBytes: 0,
    truncated: false,
    stdoutKey: 'jobs/j/out',
  })
})

test('execs of another incarnation have another id', () => {
  const { id } = exec(1, 0, 0)
  expect(traceExecId(1, id)).not.toBe(traceExecId(2, id))
})

test('a call whose result is missing is in the trace, its outcome unknown', () => {
  const lines = traceLines({ turns: [turn(0)], execs: [], grades: [] })
  expect(lines).toMatchObject([{ type: 'turn', calls: 2, done: false }, { outcome: 'exited' }, { outcome: 'unknown' }])
})

test('the turn that ends the agent’s part is done and makes no calls', () => {
  const last = { incarnation: 1, phase: 1, turn: 3, decision: { done: true, reason: 'finished' }, results: [] } as const
  expect(traceLines({ turns: [last], execs: [], grades: [] })).toEqual([
    { type: 'turn', incarnation: 1, phase: 1, turn: 3, calls: 0, done: true, reason: 'finished' },
  ])
})

test('each line is one JSON object, newlines in it escaped', () => {
  const lines = traceLines({ turns: [turn(0)], execs: [{ ...exec(1, 0, 0), command: 'a\nb' }], grades: [] })
  const text = [...traceText(lines)].join('')
  expect(
    text
      .split('\n')
      .slice(0, -1)
      .map((line) => JSON.parse(line)),
  ).toEqual(lines)
})
