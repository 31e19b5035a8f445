import { execName } from '../protocol/exec.ts'
import type { Call, CallResult, Decision } from '../agents/agent.ts'
import type { ExecId, ExecOutcome } from '../protocol/exec.ts'
import type { Failure } from '../protocol/failure.ts'
import type { Integrity, Rewards } from '../protocol/grade.ts'
import type { ExecRecord, JudgeEvidence } from '../store/records.ts'

/** Where in a rollout's life something happened. Phase 0 is open; the workflow numbers the others. */
interface Moment {
  readonly incarnation: number
  readonly phase: number
}

export interface TurnRecord extends Moment {
  /** From 0. */
  readonly turn: number
  readonly decision: Decision
  /** Absent for a turn whose calls were interrupted: the sandbox was lost or the rollout cancelled. */
  readonly results?: readonly CallResult[]
  /** ISO 8601: when the agent's answer was there. */
  readonly startedAt?: string
}

/** One grading attempt: rewards and integrity, or its failure. */
export interface GradeRecord extends Moment {
  readonly rewards?: Rewards
  readonly integrity?: Integrity
  readonly failure?: Failure
  /** Of a judge: each criterion's score with its reason. */
  readonly judge?: JudgeEvidence
  /** ISO 8601. */
  readonly startedAt?: string
  readonly finishedAt?: string
}

/** One line of `trace.jsonl`; lines stand in the order in which things happened in the rollout. */
export type TraceLine =
  | (Moment & {
      readonly type: 'turn'
      readonly turn: number
      readonly startedAt?: string
      readonly message?: string
      readonly usage?: Decision['usage']
      /** How many calls the turn made; 0 when it ended the agent's part. */
      readonly calls: number
      readonly done: boolean
      readonly reason?: string
    })
  | (Moment & {
      readonly type: 'call'
      readonly turn: number
      /** From 0 within the turn. */
      readonly call: number
      readonly args: Call['args']
      readonly timeoutMs?: number
    } & Omit<CallResult, 'outcome'> & { readonly outcome: CallResult['outcome'] | 'unknown' })
  | (Moment & {
      readonly type: 'exec'
      /** `traceExecId`: unique in the rollout. */
      readonly id: string
      readonly batch: number
      readonly call: number
      readonly part: number
      readonly command: string
      readonly outcome: ExecOutcome
      readonly startedAt: string
      readonly durationMs: number
      readonly stdoutBytes: number
      readonly stderrBytes: number
      /** True when what the agent or grader saw of a stream was cut. */
      readonly truncated: boolean
      /** Store keys of the full output. */
      readonly stdoutKey?: string
      readonly stderrKey?: string
    })
  | (GradeRecord & { readonly type: 'grade' })

/** Name of an exec that is unique within its rollout: `i<incarnation>-<phase>-<batch>-<call>-<part>`. */
export function traceExecId(incarnation: number, id: ExecId): string {
  return `i${incarnation}-${execName(id)}`
}

/** The trace of a rollout out of what its activities recorded, in any order. Pure. */
export function traceLines(records: {
  turns: readonly TurnRecord[]
  execs: readonly ExecRecord[]
  grades: readonly GradeRecord[]
}): TraceLine[] {
  const placed = [
    ...records.turns.flatMap(turnLines),
    ...records.execs.map(execLine),
    ...records.grades.map((grade): Placed => placeLast(grade)),
  ]
  return placed.toSorted((a, b) => compareOrder(a.order, b.order)).map(({ line }) => line)
}

/** The lines as the text of `trace.jsonl`, one at a time, so that a long trace can be streamed to the store. */
export function* traceText(lines: Iterable<TraceLine>): Generator<string> {
  for (const line of lines) yield `${JSON.stringify(line)}\n`
}

/** A line with its place: incarnation, phase, batch, call, part. A call's line follows its execs. */
interface Placed {
  readonly order: readonly number[]
  readonly line: TraceLine
}

const first = -1
const last = Number.MAX_SAFE_INTEGER

function turnLines(record: TurnRecord): Placed[] {
  const { incarnation, phase, turn, decision } = record
  const calls = 'calls' in decision ? decision.calls : []
  const head: TraceLine = {
    type: 'turn',
    incarnation,
    phase,
    turn,
    ...(record.startedAt === undefined ? {} : { startedAt: record.startedAt }),
    ...(decision.message === undefined ? {} : { message: decision.message }),
    ...(decision.usage === undefined ? {} : { usage: decision.usage }),
    calls: calls.length,
    done: 'done' in decision,
    ...('done' in decision && decision.reason !== undefined ? { reason: decision.reason } : {}),
  }
  const place = (call: number, line: TraceLine): Placed => ({ order: [incarnation, phase, turn, call, last], line })
  return [place(first, head), ...calls.map((call, index) => place(index, callLine(record, call, index)))]
}

function callLine(record: TurnRecord, call: Call, index: number): TraceLine {
  const { incarnation, phase, turn } = record
  const result = record.results?.[index] ?? { tool: call.tool, ok: false, output: '', outcome: 'unknown' as const }
  const timeout = call.timeoutMs === undefined ? {} : { timeoutMs: call.timeoutMs }
  return { type: 'call', incarnation, phase, turn, call: index, args: call.args, ...timeout, ...result }
}

function execLine(record: ExecRecord): Placed {
  const { incarnation, id, stdout, stderr } = record
  const { phase, batch, call, part } = id
  const line: TraceLine = {
    type: 'exec',
    id: traceExecId(incarnation, id),
    incarnation,
    phase,
    batch,
    call,
    part,
    command: record.command,
    outcome: record.outcome,
    startedAt: record.startedAt,
    durationMs: record.durationMs,
    stdoutBytes: stdout.bytes,
    stderrBytes: stderr.bytes,
    truncated: stdout.truncated || stderr.truncated,
    ...(stdout.key === undefined ? {} : { stdoutKey: stdout.key }),
    ...(stderr.key === undefined ? {} : { stderrKey: stderr.key }),
  }
  return { order: [incarnation, phase, batch, call, part], line }
}

function placeLast(grade: GradeRecord): Placed {
  return { order: [grade.incarnation, grade.phase, last], line: { type: 'grade', ...grade } }
}

function compareOrder(a: readonly number[], b: readonly number[]): number {
  for (const [index, left] of a.entries()) {
    const right = b[index]
    if (right !== undefined && left !== right) return left - right
  }
  return 0
}
