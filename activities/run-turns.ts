import { setTimeout as delay } from 'node:timers/promises'
import type { Agent, AgentInput, Decision, Turn } from '../agents/agent.ts'
import type { TurnsInput, TurnsResult } from '../protocol/activities.ts'
import type { ModelWait } from '../protocol/activity-note.ts'
import { RollcallError } from '../protocol/failure.ts'
import { longestTimerMs } from '../protocol/longest-timer.ts'
import { execName } from '../protocol/exec.ts'
import { rolloutId } from '../protocol/names.ts'
import type { Runner } from '../runner/runner.ts'
import { answerKey, imageKey, openedKey, turnResultKey } from '../store/keys.ts'
import { partOf } from '../tasks/task-parts.ts'
import { executeBatch } from '../tools/execute-batch.ts'
import { splitEnv } from '../tasks/host-templates.ts'
import { toolSet } from '../tools/tool-set.ts'
import type { ToolSet } from '../tools/tool-set.ts'
import type { AgentTime } from './agent-time.ts'
import { agentTask } from './agent-task.ts'
import { ExecLog } from './exec-log.ts'
import type { JobContext, RolloutContext } from './job-context.ts'
import type { StoredAnswer, StoredOpening, StoredTurnResult } from '../store/records.ts'
import { agentUser } from './part-spec.ts'
import { restoreArtifacts } from './restore-artifacts.ts'
import { execScope } from './sandbox-name.ts'
import { agentTimeoutMs } from './task-limits.ts'
import { getJson, putJsonOnce } from '../store/stored-json.ts'
import { readEarlierSteps, readTranscript } from './transcript.ts'

/** First wait after a model's service failed; doubles up to `maxModelWaitMs`, unless the service says how long. */
const firstModelWaitMs = 1_000
const maxModelWaitMs = 60_000

export interface TurnsDependencies {
  readonly context: Pick<JobContext, 'job' | 'store' | 'options' | 'tools'>
  readonly rollout: Pick<RolloutContext, 'task' | 'agent' | 'spec' | 'host'>
  readonly runner: Runner
  /** Aborts when this worker has to let go. */
  readonly signal: AbortSignal
  /** What earlier attempts at this slice have taken of the agent's time; goes on from now. */
  readonly time: AgentTime
  /** An earlier attempt has run, or another worker has handed this slice over. */
  readonly isRetry: boolean
  /** Told while a model's service is waited for, and with undefined when it has answered. */
  readonly onWait: (wait: ModelWait | undefined) => void
}

/**
 * Takes turns until the agent is done, a limit is reached or a slice of time has passed at a turn's end. Safe to run
 * twice: the answer of turn n is `putOnce` before it is acted on and read back on a retry; its commands attach by their
 * ids; its results are `putOnce`.
 */
export async function runTurns(input: TurnsInput, dependencies: TurnsDependencies): Promise<TurnsResult> {
  const { context, rollout, runner, signal, time } = dependencies
  await restoreArtifacts(input, { store: context.store, rollout, runner, signal })
  time.begin()
  const loop = new TurnLoop(input, dependencies)
  await loop.load()
  const sliceEnds = Date.now() + input.sliceMs
  for (;;) {
    const end = await loop.takeTurn()
    if (end !== undefined) return { turn: loop.turn, end, tookMs: time.tookMs }
    if (Date.now() >= sliceEnds) return { turn: loop.turn, tookMs: time.tookMs }
  }
}

class TurnLoop {
  turn: number
  readonly #input: TurnsInput
  readonly #dependencies: TurnsDependencies
  #transcript: Turn[] = []
  /** Turns of the task's earlier steps, which count for the rollout's limits. */
  #earlier: readonly Turn[] = []
  #workdir = '/'
  #firstTurn = 0
  #tools: ToolSet = toolSet([])

  constructor(input: TurnsInput, dependencies: TurnsDependencies) {
    this.#input = input
    this.#dependencies = dependencies
    this.turn = input.turn
  }

  async load(): Promise<void> {
    const { store } = this.#dependencies.context
    const opening = await getJson<StoredOpening>(store, openedKey(this.#input))
    if (opening === undefined) throw new RollcallError('internal', `${this.#input.rollout} has no opening in the store`)
    this.#workdir = opening.workdir
    const { context, rollout } = this.#dependencies
    this.#tools = toolSet(await context.tools(), { blind: rollout.agent.blind })
    this.#transcript = await readTranscript(store, this.#input)
    this.#earlier = this.#input.step ? await readEarlierSteps(store, this.#input) : []
    this.turn = Math.max(this.turn, this.#transcript.filter(({ decision }) => 'calls' in decision).length)
    this.#firstTurn = this.turn
  }

  /** One turn; returns how the agent's part has ended, or undefined when it goes on. */
  async takeTurn(): Promise<TurnsResult['end']> {
    if (hasEnded(this.#transcript.at(-1))) return 'done'
    const limit = this.#limitReached()
    if (limit !== undefined) return limit
    const asked = await this.#withinDeadline((signal) => this.#answer(signal))
    if (asked === 'agent-timeout') return asked
    const { decision } = asked
    if (!('calls' in decision)) {
      await this.#storeResult({ results: [], execs: [] })
      return 'done'
    }
    const acted = await this.#withinDeadline((signal) => this.#act(decision, signal))
    if (acted === 'agent-timeout') return acted
    this.#transcript.push({ number: this.turn, decision, results: acted.results })
    this.turn += 1
    return hasEnded(this.#transcript.at(-1)) ? 'done' : undefined
  }

  #limitReached(): TurnsResult['end'] {
    const { maxTurns, maxTokens } = this.#dependencies.context.options.limits
    if (this.#remainingMs() <= 0) return 'agent-timeout'
    const earlier = this.#earlier.filter(({ decision }) => 'calls' in decision).length
    if (earlier + this.turn >= maxTurns) return 'max-turns'
    const tokens = maxTokens === undefined ? 0 : tokensOf([...this.#earlier, ...this.#transcript])
    if (maxTokens !== undefined && tokens >= maxTokens) return 'max-tokens'
    return undefined
  }

  /** The stored answer, or the agent's, which is stored before anybody acts on it. */
  async #answer(signal: AbortSignal): Promise<StoredAnswer> {
    const { store } = this.#dependencies.context
    const key = answerKey({ ...this.#at(), turn: this.turn })
    const stored = await getJson<StoredAnswer>(store, key)
    if (stored !== undefined) return stored
    const startedAt = new Date().toISOString()
    const decision = await this.#ask(signal)
    // What is acted on is what is stored, in this attempt and in the next: masked.
    const masked = this.#dependencies.rollout.host.mask.json(decision)
    return await putJsonOnce<StoredAnswer>(store, key, { decision: masked, startedAt })
  }

  async #ask(signal: AbortSignal): Promise<Decision> {
    const { rollout, context } = this.#dependencies
    const { agent, task } = rollout
    const { step } = this.#input
    const timeoutMs = agentTimeoutMs(partOf(task, step), context.options)
    const input: AgentInput = {
      task: agentTask(task, { workdir: this.#workdir, step, timeoutMs }),
      transcript: this.#transcript,
      state: this.#transcript.at(-1)?.decision.state,
      tools: this.#tools.descriptions,
      readImage: (key) => context.store.get(key),
      signal,
    }
    const { onWait } = this.#dependencies
    const decision = await untilModelAnswers({ ask: () => askAgent(agent, input), signal, onWait })
    onWait(undefined)
    return this.#mayHaveAskedBefore() ? withUnrecordedCall(decision) : decision
  }

  /** The attempt before this one may have died between the agent's answer and its record. */
  #mayHaveAskedBefore(): boolean {
    return this.#dependencies.isRetry && this.turn === this.#firstTurn
  }

  async #act(decision: Extract<Decision, { calls: unknown }>, signal: AbortSignal): Promise<StoredTurnResult> {
    const { context, rollout, runner } = this.#dependencies
    const key = turnResultKey({ ...this.#at(), turn: this.turn })
    const stored = await getJson<StoredTurnResult>(context.store, key)
    if (stored !== undefined) return stored
    const { phase, step } = this.#input
    const user = agentUser({ part: partOf(rollout.task, step), spec: rollout.spec, options: context.options })
    const scope = execScope(rolloutId(context.job, this.#input.rollout))
    const log = new ExecLog(this.#at(), context.store)
    runner.acknowledge({ scope, phase, batch: this.turn })
    const { calls, mode = 'sequence', stopOnError = false } = decision
    const results = await executeBatch(
      { calls, mode, stopOnError },
      {
        runner,
        scope,
        phase,
        batch: this.turn,
        defaultTimeoutMs: rollout.spec.limits.execTimeoutMs,
        workdir: this.#workdir,
        ...(user === undefined ? {} : { user }),
        ...(rollout.agent.takesSolutionEnv === true ? { env: this.#solutionEnv() } : {}),
        tools: this.#tools.byName,
        keepImage: async ({ id, bytes }) => {
          const kept = imageKey({ ...this.#at(), exec: execName(id) })
          await context.store.putOnce(kept, bytes)
          return kept
        },
        signal,
        onExec: log.report,
        spool: log.spool,
      },
    )
    await log.flush()
    return await this.#storeResult({ results, execs: log.records })
  }

  /** Given to commands, since a decision that held the values would be stored. */
  #solutionEnv() {
    const { task, host } = this.#dependencies.rollout
    return host.expand(splitEnv(task.solution.env).fromHost)
  }

  #storeResult(result: StoredTurnResult): Promise<StoredTurnResult> {
    return putJsonOnce(
      this.#dependencies.context.store,
      turnResultKey({ ...this.#at(), turn: this.turn }),
      this.#dependencies.rollout.host.mask.json(result),
    )
  }

  /**
   * Ends the wait, not the command, when the phase's time is up: grading ends what still runs. Where a timer cannot wait
   * that long the work is begun again, which is safe: it reads what is recorded, and attaches to what runs.
   */
  async #withinDeadline<Result>(work: (signal: AbortSignal) => Promise<Result>): Promise<Result | 'agent-timeout'> {
    const remainingMs = Math.max(0, this.#remainingMs())
    const timer = AbortSignal.timeout(Math.min(remainingMs, longestTimerMs))
    const { signal } = this.#dependencies
    try {
      return await work(AbortSignal.any([signal, timer]))
    } catch (error) {
      if (signal.aborted || !timer.aborted) throw error
      if (remainingMs > longestTimerMs) return await this.#withinDeadline(work)
      if (error instanceof RollcallError) throw beyondDeadline(error)
      return 'agent-timeout'
    }
  }

  /** What is left of the agent's time. */
  #remainingMs(): number {
    return this.#input.agentMs - this.#dependencies.time.tookMs
  }

  #at() {
    const { job, rollout, incarnation, phase } = this.#input
    return { job, rollout, incarnation, phase }
  }
}

/** Whether the agent's part ended with this turn: an attempt may die after it has recorded that, before it says so. */
function hasEnded(turn: Turn | undefined): boolean {
  return turn !== undefined && (!('calls' in turn.decision) || turn.results.some((result) => result.submitted))
}

/** Another attempt would find the deadline over and take it for the agent's timeout, which is graded. */
function beyondDeadline(error: RollcallError): RollcallError {
  return new RollcallError(error.code, error.message, { cause: error, isFinal: true })
}

interface Asking {
  readonly ask: () => Promise<Decision>
  readonly signal: AbortSignal
  /** Told before each wait. */
  readonly onWait: (wait: ModelWait) => void
}

/**
 * Asks until there is an answer. A service that stays away until the deadline is a failure, never the agent's timeout:
 * the error passes through, also where the deadline comes while it is asked once more.
 */
async function untilModelAnswers({ ask, signal, onWait }: Asking): Promise<Decision> {
  let away: RollcallError | undefined
  for (let attempt = 1; ; attempt += 1) {
    try {
      return await ask()
    } catch (error) {
      if (!isModelAway(error)) throw signal.aborted ? (away ?? error) : error
      away = error
    }
    const waitMs = waitOf(away, attempt)
    onWait({ attempt: attempt + 1, failure: { code: away.code, message: away.message }, atMs: Date.now() + waitMs })
    await delay(waitMs, undefined, { signal }).catch(() => {
      throw away
    })
  }
}

function isModelAway(error: unknown): error is RollcallError {
  return error instanceof RollcallError && error.code === 'model-unavailable'
}

function waitOf({ retryAfterMs }: RollcallError, attempt: number): number {
  const waitMs = retryAfterMs ?? Math.min(maxModelWaitMs, firstModelWaitMs * 2 ** (attempt - 1))
  return Math.min(longestTimerMs, waitMs * (1 + Math.random() / 4))
}

/** The agent's own errors are the agent's failure, except those that carry a code. */
async function askAgent(agent: Agent, input: AgentInput): Promise<Decision> {
  try {
    return await agent.next(input)
  } catch (error) {
    if (error instanceof RollcallError || input.signal.aborted) throw error
    const reason = error instanceof Error ? error.message : String(error)
    throw new RollcallError('agent-failed', `Agent ${agent.name} threw: ${reason}`, { cause: error })
  }
}

function withUnrecordedCall(decision: Decision): Decision {
  if (decision.usage === undefined) return decision
  return { ...decision, usage: { ...decision.usage, unrecordedCalls: (decision.usage.unrecordedCalls ?? 0) + 1 } }
}

function tokensOf(transcript: readonly Turn[]): number {
  const usages = transcript.map((turn) => turn.decision.usage)
  return usages.reduce((sum, usage) => sum + (usage?.inputTokens ?? 0) + (usage?.outputTokens ?? 0), 0)
}
