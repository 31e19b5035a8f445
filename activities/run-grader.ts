import type { GraderExecOptions, GraderExecResult, GraderInput } from '../tasks/define-task.ts'
import type { Turn } from '../agents/agent.ts'
import type { ExecId, ExecResult } from '../protocol/exec.ts'
import { RollcallError } from '../protocol/failure.ts'
import { longestTimerMs } from '../protocol/longest-timer.ts'
import type { Rewards } from '../protocol/grade.ts'
import { askedParts, sortedVariables } from '../runner/asked-parts.ts'
import { readFile } from '../runner/files.ts'
import type { ExecRequest, Runner } from '../runner/runner.ts'
import type { ExecLog } from './exec-log.ts'
import { loadGrader } from '../tasks/task-module.ts'
import type { GraderReference } from '../tasks/task.ts'

const readFileBytes = 1024 ** 2

export interface GraderRun {
  readonly grader: GraderReference
  readonly readBundle: (key: string) => Promise<Buffer | undefined>
  readonly cacheDirectory: string
  readonly runner: Runner
  /** The id of what the grader asks for, known by a number: the same in every attempt of this activity. */
  readonly idOf: (part: number) => ExecId
  readonly workdir: string
  readonly transcript: readonly Turn[]
  readonly env: Readonly<Record<string, string>>
  /** Of the whole function, by this worker's clock. */
  readonly timeoutMs: number
  /** Aborts when this worker has to let go. */
  readonly signal: AbortSignal
  /** Keeps its commands with their output: what a grader looked at is evidence. */
  readonly log: Pick<ExecLog, 'exec'>
}

/**
 * Grades with a function out of a bundle. Safe to run twice: what it asks of the sandbox is known by what it is, so a
 * second run attaches to what the first has started, in whichever order it asks.
 * @throws RollcallError `grader-timeout`, `grader-failed` (the function threw, or cannot be had), `reward-invalid`
 */
export async function runGrader(run: GraderRun): Promise<Rewards> {
  const grade = await loadGrader(run.grader, run)
  const late = new AbortController()
  const timer = setTimeout(() => late.abort(timedOut(run)), Math.min(run.timeoutMs, longestTimerMs))
  const signal = AbortSignal.any([run.signal, late.signal])
  try {
    const rewards = await Promise.race([
      askGrader(async () => grade(new Asking(run, signal).input()), run),
      aborted(signal),
    ])
    return checkedRewards(rewards, run)
  } catch (error) {
    // What it was doing when its time was over is of no account.
    throw late.signal.aborted && !run.signal.aborted ? late.signal.reason : error
  } finally {
    clearTimeout(timer)
    late.abort()
  }
}

async function askGrader(ask: () => Promise<unknown>, { grader, signal }: GraderRun): Promise<unknown> {
  try {
    return await ask()
  } catch (error) {
    if (error instanceof RollcallError || signal.aborted) throw error
    const reason = error instanceof Error ? error.message : String(error)
    throw new RollcallError('grader-failed', `The grader of task ${grader.task} threw: ${reason}`, { cause: error })
  }
}

/** What one call of a grader has asked for so far. */
class Asking {
  readonly #run: GraderRun
  readonly #signal: AbortSignal
  readonly #startedAt = Date.now()
  readonly #partOf = askedParts()

  constructor(run: GraderRun, signal: AbortSignal) {
    this.#run = run
    this.#signal = signal
  }

  input(): GraderInput {
    const { transcript, env } = this.#run
    return {
      exec: (command, options = {}) => this.#exec(command, options),
      readFile: (path) => this.#readFile(path),
      transcript,
      env,
      signal: this.#signal,
    }
  }

  async #exec(command: string, options: GraderExecOptions): Promise<GraderExecResult> {
    const { workdir } = this.#run
    const { timeoutMs = this.#leftMs(), ...where } = options
    const id = this.#idOf(['exec', command, where.cwd, where.user, sortedVariables(where.env)])
    const request: ExecRequest = {
      id,
      script: command,
      cwd: options.cwd ?? workdir,
      user: options.user ?? 'root',
      timeoutMs,
      ...(options.env === undefined ? {} : { env: options.env }),
    }
    const { runner, log } = this.#run
    return shown(await log.exec(runner, request, this.#signal))
  }

  async #readFile(path: string): Promise<string | undefined> {
    const { runner, workdir } = this.#run
    const id = this.#idOf(['readFile', path])
    const file = { id, path, maxBytes: readFileBytes, cwd: workdir, user: 'root' }
    const read = await readFile(runner, file, { signal: this.#signal })
    if (read.type === 'read') return read.content.toString()
    if (read.type === 'failed') throw lost(read.result)
    return undefined
  }

  /** A time limit is no part of the question: it may be what is left of something. */
  #idOf(question: readonly unknown[]): ExecId {
    return this.#run.idOf(this.#partOf(question))
  }

  #leftMs(): number {
    return Math.max(1_000, this.#run.timeoutMs - (Date.now() - this.#startedAt))
  }
}

function shown(result: ExecResult): GraderExecResult {
  const { outcome } = result
  if (outcome.type === 'lost') throw lost(result)
  const text = { stdout: textOf(result.stdout), stderr: textOf(result.stderr) }
  return outcome.type === 'exited' ? { exitCode: outcome.code, ...text } : text
}

function textOf({ head, tail, truncated }: ExecResult['stdout']): string {
  return truncated ? `${head.toString()}\n…\n${tail.toString()}` : head.toString()
}

function lost({ outcome }: ExecResult): RollcallError {
  const reason = outcome.type === 'lost' ? outcome.reason : outcome.type
  return new RollcallError('grader-failed', `What became of a command of the grader is unknown (${reason})`)
}

function checkedRewards(rewards: unknown, { grader }: GraderRun): Rewards {
  const table = typeof rewards === 'number' ? { reward: rewards } : rewards
  const entries = typeof table === 'object' && table !== null ? Object.entries(table) : []
  const isSound = entries.length > 0 && entries.every(([, value]) => Number.isFinite(value))
  if (isSound) return Object.fromEntries(entries)
  const found = JSON.stringify(rewards, (_, value: unknown) => (typeof value === 'number' ? String(value) : value))
  throw new RollcallError(
    'reward-invalid',
    `The grader of task ${grader.task} returned ${found ?? 'nothing'}: expected a finite number, or a table of them`,
  )
}

function timedOut({ grader, timeoutMs }: GraderRun): RollcallError {
  return new RollcallError('grader-timeout', `The grader of task ${grader.task} did not end within ${timeoutMs} ms`)
}

function aborted(signal: AbortSignal): Promise<never> {
  return new Promise((_, reject) => {
    if (signal.aborted) reject(signal.reason)
    else signal.addEventListener('abort', () => reject(signal.reason), { once: true })
  })
}
