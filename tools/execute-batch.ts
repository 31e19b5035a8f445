import type { Writable } from 'node:stream'
import type { Call, CallResult } from '../agents/agent.ts'
import type { ExecId, ExecOutcome } from '../protocol/exec.ts'
import { liveExecs } from '../runner/live-execs.ts'
import type { ExecRequest, Runner } from '../runner/runner.ts'
import { invalid, type Tool, type ToolContext } from './tool.ts'
import { tools as builtInTools } from './tools.ts'

export interface Batch {
  readonly calls: readonly Call[]
  readonly mode: 'sequence' | 'parallel'
  /** In a sequence: what follows a call that is not ok is `skipped`. */
  readonly stopOnError: boolean
}

/** What is told of one command of a batch. */
export interface ExecReport {
  readonly id: ExecId
  /** The script of a `bash` call; of other tools their name and path. */
  readonly command: string
  readonly outcome: ExecOutcome
  /** ISO 8601, by this worker's clock: when it was asked for or, on a retry, attached to. */
  readonly startedAt: string
  /** By the sandbox's clock. */
  readonly durationMs: number
  readonly stdoutBytes: number
  readonly stderrBytes: number
  /** Whether the agent saw less than all of it. */
  readonly truncated: boolean
}

export interface BatchContext {
  readonly runner: Runner
  readonly scope: string
  readonly phase: number
  readonly batch: number
  /** For calls that name no timeout. */
  readonly defaultTimeoutMs: number
  /** Default: the sandbox's own. */
  readonly workdir?: string
  /** Absolute: paths of file tools must stay below it. Default: anywhere. */
  readonly root?: string
  readonly user?: string
  /** For commands of `bash`. */
  readonly env?: Readonly<Record<string, string>>
  /** Aborting it detaches: commands run on. */
  readonly signal: AbortSignal
  /** Default: Rollcall's own. */
  readonly tools?: ReadonlyMap<string, Tool>
  /** Keeps an image for whoever sees the result, and says where; `putOnce` by id. Absent: images are only told of. */
  readonly keepImage?: ToolContext['keepImage']
  /** Told of every exec when its result is there. */
  readonly onExec?: (report: ExecReport) => void
  /** Where the full output of an exec goes; ended by the runner. */
  readonly spool?: (id: ExecId, stream: 'stdout' | 'stderr') => Writable | undefined
}

/**
 * Runs the calls of one turn and returns their results in the order asked. Safe to run twice: every command has the id
 * (scope, phase, batch, call, part), so a second run attaches to what the first has started.
 * @throws RollcallError `sandbox-lost`, `provider-unavailable`; the signal's reason when aborted
 */
export async function executeBatch(batch: Batch, context: BatchContext): Promise<CallResult[]> {
  const workdir = context.workdir ?? (await context.runner.hello()).workdir
  const run = (call: Call, number: number): Promise<CallResult> => runCall(call, number, { ...context, workdir })
  if (batch.mode === 'parallel') return Promise.all(batch.calls.map(run))
  const results: CallResult[] = []
  let isStopped = false
  for (const [number, call] of batch.calls.entries()) {
    const result: CallResult = isStopped ? skipped(call) : await run(call, number)
    results.push(result)
    isStopped ||= batch.stopOnError && !result.ok
  }
  return results
}

type ResolvedContext = BatchContext & { readonly workdir: string }

async function runCall(call: Call, number: number, context: ResolvedContext): Promise<CallResult> {
  const { tools = builtInTools } = context
  const tool = tools.get(call.tool)
  if (tool === undefined) {
    return named(
      call,
      invalid(`There is no tool ${JSON.stringify(call.tool)}; there are ${[...tools.keys()].join(', ')}`),
    )
  }
  return named(call, await tool.run(call.args, toolContext(call, number, context)))
}

function toolContext(call: Call, number: number, context: ResolvedContext): ToolContext {
  const { scope, phase, batch } = context
  return {
    runner: recordingRunner(call, context),
    execId: (part) => ({ scope, phase, batch, call: number, part }),
    workdir: context.workdir,
    ...(context.root !== undefined && { root: context.root }),
    user: context.user,
    env: context.env ?? {},
    timeoutMs: call.timeoutMs ?? context.defaultTimeoutMs,
    ...(call.timeoutMs !== undefined && { callTimeoutMs: call.timeoutMs }),
    signal: context.signal,
    ...(context.keepImage !== undefined && { keepImage: context.keepImage }),
  }
}

/** The runner, with every exec reported and its output spooled. */
function recordingRunner(call: Call, { runner, spool, onExec }: ResolvedContext): Runner {
  const exec: Runner['exec'] = async (request, options) => {
    const startedAt = new Date().toISOString()
    const stdoutSink = spool?.(request.id, 'stdout')
    const stderrSink = spool?.(request.id, 'stderr')
    const result = await runner.exec(
      { ...request, ...(stdoutSink && { stdoutSink }), ...(stderrSink && { stderrSink }) },
      options,
    )
    const { outcome, durationMs, stdout, stderr } = result
    onExec?.({
      id: request.id,
      command: commandOf(call, request),
      outcome,
      startedAt,
      durationMs,
      stdoutBytes: stdout.bytes,
      stderrBytes: stderr.bytes,
      truncated: stdout.truncated || stderr.truncated,
    })
    return result
  }
  return {
    exec,
    acknowledge: (mark) => runner.acknowledge(mark),
    ...liveExecs(runner),
    stop: (target) => runner.stop(target),
    hello: () => runner.hello(),
    close: () => runner.close(),
  }
}

function commandOf(call: Call, request: ExecRequest): string {
  const { path, command, code, session } = call.args
  if (call.tool === 'bash' && (session === undefined || session === false)) return request.script
  if (call.tool === 'bash' && typeof command === 'string') return command
  if (call.tool === 'python' && typeof code === 'string') return code
  return typeof path === 'string' ? `${call.tool} ${JSON.stringify(path)}` : call.tool
}

function named(call: Call, result: Omit<CallResult, 'tool' | 'callId'>): CallResult {
  return { ...(call.callId !== undefined && { callId: call.callId }), tool: call.tool, ...result }
}

function skipped(call: Call): CallResult {
  return named(call, { ok: false, outcome: 'skipped', output: 'Skipped, because an earlier call was not ok' })
}
