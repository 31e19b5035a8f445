import type { AgentSpec, Usage } from '../agents/agent.ts'
import type { RolloutResult } from '../protocol/grade.ts'
import type { AtifStep, AtifTrajectory } from './atif-schema.ts'
import type { TraceLine } from './trace.ts'

/** What the agent was told, and from which phase on. */
export interface Instruction {
  readonly phase: number
  readonly text: string
}

export interface TrajectorySource {
  readonly result: RolloutResult
  /** The rollout's trace, in order. */
  readonly trace: readonly TraceLine[]
  readonly instructions: readonly Instruction[]
  /** Undefined where the job's options no longer name the agent. */
  readonly agent: Pick<AgentSpec, 'kind' | 'model' | 'module'> | undefined
}

type TurnLine = TraceLine & { type: 'turn' }
type CallLine = TraceLine & { type: 'call' }
/** Exact: what is not known is absent, never `undefined` or null. */
type Draft = Omit<AtifStep, 'step_id'>

/**
 * A rollout as an ATIF v1.7 trajectory: what the agent was told, then its turns, one step each with their calls and what
 * these came to. Of a rollout that began again in another sandbox it is the last beginning, since each of them is a
 * conversation of its own; `notes` says so. Pure.
 */
export function atifTrajectory(source: TrajectorySource): AtifTrajectory {
  const { result, agent } = source
  const incarnation = source.trace.reduce((last, line) => (line.type === 'turn' ? line.incarnation : last), 1)
  const own = source.trace.filter((line) => line.incarnation === incarnation)
  const drafts = stepsOf(own, source)
  const steps = drafts.length > 0 ? drafts : [noTurns(result)]
  const notes = notesOf(result, incarnation)
  return {
    schema_version: 'ATIF-v1.7',
    session_id: result.id,
    trajectory_id: `${result.id}.i${incarnation}`,
    agent: {
      name: agent?.module?.source ?? agent?.kind ?? result.agent,
      version: 'unknown',
      ...(agent?.model === undefined ? {} : { model_name: agent.model }),
      extra: { label: result.agent },
    },
    steps: steps.map((step, index) => ({ step_id: index + 1, ...step })),
    ...(notes === undefined ? {} : { notes }),
    final_metrics: finalMetrics(own, steps.length),
    extra: { rollcall: endingOf(result) },
  }
}

function stepsOf(lines: readonly TraceLine[], { instructions, agent }: TrajectorySource): Draft[] {
  const calls = Map.groupBy(
    lines.filter((line) => line.type === 'call'),
    ({ phase, turn }) => `${phase}.${turn}`,
  )
  const left = instructions.toSorted((a, b) => a.phase - b.phase)
  const steps: Draft[] = []
  const tell = (phase: number) => {
    for (let next = left[0]; next !== undefined && next.phase <= phase; next = left[0]) {
      left.shift()
      steps.push({ source: 'user', message: next.text })
    }
  }
  for (const line of lines) {
    if (line.type !== 'turn') continue
    tell(line.phase)
    steps.push(agentStep(line, calls.get(`${line.phase}.${line.turn}`) ?? [], agent))
  }
  if (steps.length === 0) tell(Infinity)
  return steps
}

function agentStep(turn: TurnLine, calls: readonly CallLine[], agent: TrajectorySource['agent']): Draft {
  const ids = callIds(turn, calls)
  const requests = modelRequests(agent)
  return {
    source: 'agent',
    message: turn.message ?? turn.reason ?? '',
    ...(turn.startedAt === undefined ? {} : { timestamp: turn.startedAt }),
    ...(calls.length === 0 ? {} : { tool_calls: calls.map((call, index) => toolCall(call, ids[index])) }),
    ...(calls.length === 0 ? {} : { observation: { results: calls.map((call, index) => seen(call, ids[index])) } }),
    ...(turn.usage === undefined || requests === 0 ? {} : { metrics: metricsOf(turn.usage) }),
    ...(requests === undefined ? {} : { llm_call_count: requests }),
    extra: { phase: turn.phase, turn: turn.turn, ...(turn.done ? { done: true } : {}) },
  }
}

/** Undefined where only the agent knows: a program in the sandbox, or code of others. */
function modelRequests(agent: TrajectorySource['agent']): number | undefined {
  switch (agent?.kind) {
    case 'oracle':
    case 'nop':
    case 'script':
      return 0
    case 'model':
      return 1
    default:
      return undefined
  }
}

/** The model's own ids where it gave any; a model that gives one twice would make the step ambiguous. */
function callIds(turn: TurnLine, calls: readonly CallLine[]): string[] {
  const taken = new Set<string>()
  return calls.map(({ call, callId }) => {
    const derived = `p${turn.phase}-t${turn.turn}-c${call}`
    const id = callId === undefined || taken.has(callId) ? derived : callId
    taken.add(id)
    return id
  })
}

function toolCall({ tool, args, timeoutMs }: CallLine, id = '') {
  return {
    tool_call_id: id,
    function_name: tool,
    arguments: { ...args },
    ...(timeoutMs === undefined ? {} : { extra: { timeout_ms: timeoutMs } }),
  }
}

function seen({ output, ok, outcome, exitCode }: CallLine, id = '') {
  const exit = exitCode === undefined ? {} : { exit_code: exitCode }
  return { source_call_id: id, content: output, extra: { ok, outcome, ...exit } }
}

function metricsOf({ inputTokens, outputTokens, cachedInputTokens, costUsd, unrecordedCalls }: Usage) {
  return {
    ...(inputTokens === undefined ? {} : { prompt_tokens: inputTokens }),
    ...(outputTokens === undefined ? {} : { completion_tokens: outputTokens }),
    ...(cachedInputTokens === undefined ? {} : { cached_tokens: cachedInputTokens }),
    ...(costUsd === undefined ? {} : { cost_usd: costUsd }),
    ...(unrecordedCalls === undefined ? {} : { extra: { unrecorded_calls: unrecordedCalls } }),
  }
}

/** Of the turns that are in the trajectory; what none reported is absent. */
function finalMetrics(lines: readonly TraceLine[], steps: number): NonNullable<AtifTrajectory['final_metrics']> {
  const usages = lines.flatMap((line) => (line.type === 'turn' && line.usage !== undefined ? [line.usage] : []))
  const total = (name: keyof Usage) => {
    const values = usages.flatMap((usage) => usage[name] ?? [])
    return values.length === 0 ? undefined : values.reduce((sum, value) => sum + value, 0)
  }
  const totals = {
    total_prompt_tokens: total('inputTokens'),
    total_completion_tokens: total('outputTokens'),
    total_cached_tokens: total('cachedInputTokens'),
    total_cost_usd: total('costUsd'),
  }
  const known = Object.entries(totals).filter(([, value]) => value !== undefined)
  return { ...Object.fromEntries(known), total_steps: steps }
}

/** The format wants a step; of a rollout without turns and without a known instruction there is only its ending. */
function noTurns({ failure, state }: RolloutResult): Draft {
  const why = failure === undefined ? state : `${failure.code}: ${failure.message}`
  return { source: 'system', message: `The rollout ended before the agent’s first turn (${why}).` }
}

function notesOf({ incarnations }: RolloutResult, incarnation: number): string | undefined {
  if (incarnations === 1) return undefined
  return (
    `The rollout had ${incarnations} sandboxes, since it lost ${incarnations - 1}. These are the turns in sandbox ` +
    `${incarnation}; all of them are in trace.jsonl.`
  )
}

function endingOf({ job, task, taskChecksum, attempt, state, rewards, integrity, failure, agentEnd }: RolloutResult) {
  return {
    job,
    task,
    taskChecksum,
    attempt,
    state,
    ...(rewards === undefined ? {} : { rewards }),
    ...(integrity === undefined ? {} : { integrity }),
    ...(failure === undefined ? {} : { failure }),
    ...(agentEnd === undefined ? {} : { agentEnd }),
  }
}
