import { setTimeout as delay } from 'node:timers/promises'
import type { CapturedOutput, ExecResult } from '../../protocol/exec.ts'
import type { ExecRequest } from '../../runner/runner.ts'
import { execDefaults, type ToolContext } from '../tool.ts'
import { clientScript, driverScript, imageScript, pythonKernel } from './scripts.ts'

/** Sessions are execs: one that keeps the interpreter, and one for each call to it (tools/session/client.sh). */

export interface SessionCall {
  readonly kind: 'shell' | 'python'
  /** `[a-z0-9-]`; sessions of one scope are told apart by it. */
  readonly name: string
  /** `run` a command, `look` what the running one has written (and give it input or keys), or `end` the session. */
  readonly op: 'run' | 'look' | 'end'
  /** How long the call waits for the command's end. */
  readonly waitMs: number
  /** Do not wait on when something was written and then nothing for so long. */
  readonly quietMs?: number
  /** The command of `run`, the input of `look`. */
  readonly bytes?: Buffer
  readonly keys?: readonly Key[]
  /** Whether the command's files are the terminal. Default false. */
  readonly tty?: boolean
}

export const keyNames = ['C-c', 'C-d', 'C-z', 'C-\\'] as const
export type Key = (typeof keyNames)[number]
const keyWords: Readonly<Record<Key, string>> = { 'C-c': 'int', 'C-d': 'eof', 'C-z': 'stop', 'C-\\': 'quit' }

/** How a command or an interpreter ended: an exit code, or killed. */
type Ending = number | 'killed'

export interface SessionReport {
  readonly state:
    /** The command has ended. */
    | { readonly type: 'finished'; readonly code: number }
    /** The command runs on. */
    | { readonly type: 'running' }
    /** The interpreter has ended, by the command. */
    | { readonly type: 'ended'; readonly code: Ending }
    /** Nothing was done: another command runs; none does; it does not read; there is no terminal; no session. */
    | { readonly type: 'busy' | 'idle' | 'unread' | 'no-tty' | 'none' }
    /** Nothing was done: the session has ended since the last call. */
    | { readonly type: 'over'; readonly code: Ending }
    /** The exec of this call, or the interpreter's, did not get through. */
    | { readonly type: 'failed'; readonly result: ExecResult }
  /** What is new. */
  readonly output: CapturedOutput
  /** An earlier command that had ended unseen: the first `bytes` of the output are its. */
  readonly before?: { readonly code: Ending; readonly bytes: number }
  /** An earlier session had ended, and this is a new one. */
  readonly after?: { readonly code: Ending; readonly output: CapturedOutput }
  readonly images: number
  /** The command was ended, since it had written too much. */
  readonly isFull?: true
}

const longestMs = 365 * 24 * 3_600_000
/** Beyond what a call waits: its own work, on a busy machine. */
const graceMs = 60_000
const captureBytes = 65_536
/** An interpreter that is not there says why as it ends. */
const lastWordMs = 2_000
/** Larger than any image that a model takes. */
const longestImageBytes = 16 * 1024 * 1024

/** Parts of a call's exec ids. `mark` is that of what the command starts, so that daemons outlive the session. */
export const sessionParts = { ask: 0, session: 1, askAgain: 2, mark: 3, images: 4 } as const

/**
 * One call to a session; `run` begins it where there is none. Safe to run twice: all of it is execs.
 * @throws RollcallError as Runner.exec
 */
export async function callSession(context: ToolContext, call: SessionCall): Promise<SessionReport> {
  const first = await ask(context, call, sessionParts.ask)
  if (call.op !== 'run' || (first.state.type !== 'none' && first.state.type !== 'over')) return first
  const second = await begin(context, call)
  return first.state.type === 'over' ? { ...second, after: { code: first.state.code, output: first.output } } : second
}

/** An image of the latest command, from 0; undefined where it cannot be read. */
export async function readImage(
  context: ToolContext,
  image: { kind: SessionCall['kind']; name: string; index: number },
): Promise<Buffer | undefined> {
  const result = await context.runner.exec(
    {
      ...execDefaults(context, sessionParts.images + image.index),
      script: imageScript,
      env: { ...placeOf(context, image), RC_IMAGE: String(image.index) },
      timeoutMs: graceMs,
      captureBytes: longestImageBytes,
    },
    { signal: context.signal },
  )
  const isWhole = result.outcome.type === 'exited' && result.outcome.code === 0 && !result.stdout.truncated
  return isWhole ? result.stdout.head : undefined
}

/** The interpreter, which nobody waits for, and the call beside it. */
async function begin(context: ToolContext, call: SessionCall): Promise<SessionReport> {
  const detach = new AbortController()
  const env = {
    ...context.env,
    ...placeOf(context, call),
    RC_KIND: call.kind,
    ...(call.kind === 'python' && { RC_KERNEL: pythonKernel }),
  }
  const interpreter = context.runner.exec(
    { ...execDefaults(context, sessionParts.session), script: driverScript, env, timeoutMs: longestMs },
    { signal: AbortSignal.any([context.signal, detach.signal]) },
  )
  const refusal = interpreter.then((result) =>
    cannotBegin(result) ? failedReport(result) : new Promise<never>(() => {}),
  )
  refusal.catch(() => {})
  try {
    const report = await Promise.race([ask(context, call, sessionParts.askAgain), refusal])
    if (report.state.type !== 'none') return report
    return await Promise.race([interpreter.then(failedReport), delay(lastWordMs, report, { ref: false })])
  } finally {
    detach.abort(new Error('The session runs on'))
  }
}

/** driver.sh says so where there is no Python; exit codes alone may be those of a session that has ended already. */
function cannotBegin({ outcome, stderr }: ExecResult): boolean {
  return outcome.type === 'exited' && outcome.code === 127 && stderr.head.toString().startsWith('no python3')
}

async function ask(context: ToolContext, call: SessionCall, part: number): Promise<SessionReport> {
  const { bytes } = call
  const request: ExecRequest = {
    ...execDefaults(context, part),
    script: clientScript,
    env: { ...placeOf(context, call), ...callVariables(context, call, part) },
    ...(bytes !== undefined && { stdin: bytes }),
    timeoutMs: Math.min(call.waitMs + graceMs, longestMs),
    captureBytes,
    isPiece: true,
  }
  const result = await context.runner.exec(request, { signal: context.signal })
  return parseReport(result) ?? failedReport(result)
}

/** Users of one sandbox have files of their own: none can read, or lay, another's. */
export function ofUser({ user }: Pick<ToolContext, 'user'>): string {
  return user === undefined ? '' : `.${user.replaceAll(/[^A-Za-z0-9_-]/g, '_')}`
}

function placeOf(context: ToolContext, { kind, name }: Pick<SessionCall, 'kind' | 'name'>): Record<string, string> {
  return { RC_SCOPE: context.execId(0).scope, RC_NAME: `${kind}-${name}${ofUser(context)}` }
}

function callVariables(context: ToolContext, call: SessionCall, part: number): Record<string, string> {
  const { scope, phase, batch, call: number } = context.execId(0)
  return {
    RC_OP: call.op,
    RC_WAIT: String(Math.ceil(call.waitMs / 10)),
    ...(call.quietMs !== undefined && { RC_QUIET: String(Math.ceil(call.quietMs / 10)) }),
    ...(call.op === 'look' && call.bytes !== undefined && { RC_INPUT: '1' }),
    RC_KEYS: (call.keys ?? []).map((key) => keyWords[key]).join(' '),
    RC_ON: call.tty ? 'tty' : 'file',
    RC_MARK: `${scope}/${phase}-${batch}-${number}-${sessionParts.mark}`,
    ...(part === sessionParts.askAgain && { RC_STARTING: '1' }),
  }
}

const empty: CapturedOutput = { head: Buffer.alloc(0), tail: Buffer.alloc(0), bytes: 0, truncated: false }

function failedReport(result: ExecResult): SessionReport {
  return { state: { type: 'failed', result }, output: empty, images: 0 }
}

function parseReport({ outcome, stdout, stderr }: ExecResult): SessionReport | undefined {
  if (outcome.type !== 'exited' || outcome.code !== 0) return undefined
  const [type, code, before, bytes, images, full] = stderr.head.toString('utf8').trim().split(' ')
  const report = { output: stdout, images: numberOf(images) ?? 0, ...(full === '1' && ({ isFull: true } as const)) }
  switch (type) {
    case 'finished':
    case 'running':
    case 'ended': {
      const state =
        type === 'running'
          ? { type }
          : type === 'ended'
            ? { type, code: ending(code) }
            : { type, code: numberOf(code) ?? 255 }
      const isNews = before !== undefined && before !== '-'
      return { ...report, state, ...(isNews && { before: { code: ending(before), bytes: numberOf(bytes) ?? 0 } }) }
    }
    case 'over':
      return { ...report, state: { type, code: ending(code) } }
    case 'busy':
    case 'idle':
    case 'unread':
    case 'no-tty':
    case 'none':
      return { ...report, state: { type } }
    default:
      return undefined
  }
}

function ending(word: string | undefined): Ending {
  return numberOf(word) ?? 'killed'
}

/** Undefined for what no number is: a command may write into the files of its session. */
function numberOf(word: string | undefined): number | undefined {
  return word !== undefined && /^\d{1,15}$/.test(word) ? Number(word) : undefined
}
