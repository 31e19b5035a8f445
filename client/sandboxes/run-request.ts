import type { CallResult, JsonValue } from '../../agents/agent.ts'
import type { CapturedOutput, ExecResult } from '../../protocol/exec.ts'
import { RollcallError, type Failure } from '../../protocol/failure.ts'
import { liveExecs } from '../../runner/live-execs.ts'
import type { Runner } from '../../runner/runner.ts'
import { invalid, type Tool, type ToolContext, type ToolResult } from '../../tools/tool.ts'
import type { ExecPlace } from './exec-numbers.ts'
import type { Slot } from './slot.ts'

/** One call of a tool in one slot. */
export interface ToolRequest {
  readonly slot: Slot
  /** `bash`, `python`, `read_file`, `write_file`, `edit_file`, `list_files`, `view_image`, or one of `tools`. */
  readonly tool: string
  readonly args?: Readonly<Record<string, JsonValue>>
  /** Kept in the sandbox. Default: the profile's `execTimeoutMs`. */
  readonly timeoutMs?: number
  /**
   * Makes the request safe to repeat while the lease lives, also from another process: a request of the same id, tool and
   * arguments in the same lease attaches to what the first has started, and is never run again. Results of such requests
   * are kept in the sandbox until the lease ends, some thousands in a sandbox at most. Without an id each request is a new
   * one.
   */
  readonly id?: string
  /** True: does not wait for earlier requests of the same slot. Default false: they follow each other in the order asked. */
  readonly parallel?: boolean
}

/** What became of one request. */
export interface ToolOutcome {
  /** As it was asked. */
  readonly id?: string
  readonly slot: Slot
  readonly tool: string
  /** False for a failing command, a wrong argument, a timeout, a lost command and everything that has a `failure`. */
  readonly ok: boolean
  /** As a model sees it: text, cut in the middle when long. */
  readonly output: string
  /** How the call ended. `failed`: there is no answer of it, for the reason in `failure`. */
  readonly outcome: CallResult['outcome'] | 'failed'
  readonly exitCode?: number
  /** Of `bash`: the bytes, first and last 64 KiB. */
  readonly stdout?: CapturedOutput
  readonly stderr?: CapturedOutput
  /** What `view_image` and plots of `python` show. */
  readonly images?: readonly { readonly bytes: Buffer; readonly mediaType: string }[]
  /** Of the command, by the sandbox's clock. Absent where there was none. */
  readonly durationMs?: number
  /** Why there is no answer. The command may run nevertheless; the same request with the same id attaches to it. */
  readonly failure?: Failure
}

export interface RequestSettings {
  readonly tools: ReadonlyMap<string, Tool>
  /** Paths may lead out of the workspace. */
  readonly allowAbsolutePaths: boolean
  readonly env: Readonly<Record<string, string>>
  readonly signal?: AbortSignal
}

/** A provider that is away for longer is told as such; what runs in the sandbox runs on. */
const awayMs = 120_000
/** What timers take. */
const mostMs = 2 ** 31 - 1

/** Never throws: whatever happens to this request is its outcome. */
export async function runRequest(request: ToolRequest, settings: RequestSettings): Promise<ToolOutcome> {
  const { slot, tool, id } = request
  const about = { ...(id === undefined ? {} : { id }), slot, tool }
  try {
    const key = id === undefined ? undefined : keyOf(request)
    if (id !== undefined && key !== undefined && !slot.isSame(id, key)) return { ...about, ...otherRequest(id) }
    const run = () => slot.use(key, (runner, place) => runTool({ request, settings, runner, place }))
    return { ...about, ...(await (request.parallel ? run() : slot.inTurn(run))) }
  } catch (error) {
    const failure = failureOf(error)
    // Whoever else is asked later need not find out by itself.
    if (failure.code === 'sandbox-lost') slot.end('sandbox-lost')
    return { ...about, ok: false, outcome: 'failed', output: failure.message, failure }
  }
}

type Answer = Omit<ToolOutcome, 'slot' | 'tool' | 'id'>

/** A request of the same id that asks for something else must never be handed what the first one came to. */
function keyOf({ id, tool, args = {} }: ToolRequest): string {
  return JSON.stringify([id, tool, args], (_name, value: unknown) =>
    typeof value === 'object' && value !== null && !Array.isArray(value)
      ? Object.fromEntries(Object.entries(value).toSorted(([a], [b]) => (a < b ? -1 : 1)))
      : value,
  )
}

function otherRequest(id: string): Answer {
  const shown = JSON.stringify(id)
  const message = `The id ${shown} is of another request of this lease: the same id takes the same tool and arguments`
  return answerOf(invalid(message))
}

async function runTool(at: {
  request: ToolRequest
  settings: RequestSettings
  runner: Runner
  place: ExecPlace
}): Promise<Answer> {
  const { request, settings, place } = at
  const { lease } = request.slot
  const timeoutMs = request.timeoutMs ?? lease.execTimeoutMs
  const problem = problemOf(request, settings, timeoutMs)
  if (problem !== undefined) return answerOf(invalid(problem))
  const stop = stopAfter(Math.min(2 * timeoutMs + awayMs, mostMs), settings.signal)
  const seen: ExecResult[] = []
  const images: { bytes: Buffer; mediaType: string }[] = []
  const context: ToolContext = {
    runner: watched(at.runner, (result) => seen.push(result)),
    execId: place.execId,
    workdir: lease.workspace,
    ...(settings.allowAbsolutePaths ? {} : { root: lease.workspace }),
    user: request.slot.user,
    env: settings.env,
    timeoutMs,
    ...(request.timeoutMs === undefined ? {} : { callTimeoutMs: request.timeoutMs }),
    signal: stop.signal,
    keepImage: async ({ bytes, mediaType }) => `image ${images.push({ bytes, mediaType })}`,
  }
  try {
    const result = await settings.tools.get(request.tool)?.run(request.args ?? {}, context)
    if (result === undefined) return answerOf(invalid(`There is no tool ${request.tool}`))
    const isCommand = request.tool === 'bash' && !request.args?.['session']
    const answer = answerOf(result, isCommand ? seen[0] : undefined)
    return images.length === 0 ? answer : { ...answer, images }
  } finally {
    stop.clear()
  }
}

function problemOf({ tool }: ToolRequest, { tools }: RequestSettings, timeoutMs: number): string | undefined {
  if (!tools.has(tool)) return `There is no tool ${JSON.stringify(tool)}; there are ${[...tools.keys()].join(', ')}`
  if (Number.isInteger(timeoutMs) && timeoutMs > 0) return undefined
  return `timeoutMs is ${timeoutMs}: expected a whole number of milliseconds above 0`
}

function answerOf({ ok, output, outcome, exitCode }: ToolResult, result?: ExecResult): Answer {
  return {
    ok,
    output,
    outcome,
    ...(exitCode === undefined ? {} : { exitCode }),
    ...(result === undefined ? {} : { stdout: result.stdout, stderr: result.stderr, durationMs: result.durationMs }),
  }
}

function watched(runner: Runner, onResult: (result: ExecResult) => void): Runner {
  return {
    exec: async (request, options) => {
      const result = await runner.exec(request, options)
      onResult(result)
      return result
    },
    acknowledge: (mark) => runner.acknowledge(mark),
    ...liveExecs(runner),
    stop: (target) => runner.stop(target),
    hello: () => runner.hello(),
    close: () => runner.close(),
  }
}

function stopAfter(afterMs: number, signal: AbortSignal | undefined): { signal: AbortSignal; clear: () => void } {
  const late = new AbortController()
  const message = `Nothing has been heard of the sandbox for so long that the call was given up (${afterMs} ms)`
  const timer = setTimeout(() => late.abort(new RollcallError('provider-unavailable', message)), afterMs)
  return {
    signal: signal === undefined ? late.signal : AbortSignal.any([late.signal, signal]),
    clear: () => clearTimeout(timer),
  }
}

function failureOf(error: unknown): Failure {
  if (error instanceof RollcallError) return { code: error.code, message: error.message }
  if (error instanceof Error && error.name === 'AbortError') {
    return { code: 'cancelled', message: 'The call was not waited for any longer; its command runs on' }
  }
  const message = error instanceof Error ? (error.stack ?? error.message) : String(error)
  return { code: 'internal', message }
}
