import { posix } from 'node:path'
import { z } from 'zod'
import { sessionResult } from './session/session-result.ts'
import { callSession, keyNames, type SessionCall } from './session/session.ts'
import { shortenOutput } from './shorten.ts'
import { builtInTool, endOf, execDefaults, invalid, type ToolContext, type ToolResult } from './tool.ts'

/** Enough for the characters that an agent sees, whatever their encoding. */
const captureBytes = 65_536
/** How long a call waits for a command of a session that names no time. */
const sessionWaitMs = 30_000
/** How long an answer to input is waited for: until something comes and then nothing more for a moment. */
const answerWaitMs = 10_000
const answerQuietMs = 300
/** After a key a program may take a moment to end. */
const keyQuietMs = 1_000

const bashArguments = z
  .strictObject({
    command: z.string().min(1).optional().describe('The command, of any length and number of lines'),
    cwd: z.string().optional().describe('Directory to run in; default: the working directory'),
    env: z.record(z.string(), z.string()).optional().describe('Variables to add'),
    timeout_ms: z
      .number()
      .int()
      .positive()
      .optional()
      .describe('The command is killed after this time; in a session it runs on, and the call returns'),
    session: z
      .union([z.boolean(), z.string().regex(/^[a-z0-9][a-z0-9-]{0,31}$/)])
      .optional()
      .describe('true, or a name: runs in a shell that is kept, with its directory, variables and functions'),
    input: z.string().optional().describe('Session: written to the running command, verbatim; end a line with \\n'),
    keys: z
      .array(z.enum(keyNames))
      .max(16)
      .optional()
      .describe('Session: pressed after the input, as C-c to interrupt'),
    tty: z.boolean().optional().describe('Session: the command gets a terminal, for full-screen programs and prompts'),
    restart: z.boolean().optional().describe('Session: ends the shell and all it runs'),
  })
  .superRefine((args, context) => {
    for (const message of problemsOf(args)) context.addIssue({ code: 'custom', message, path: ['command'] })
  })

interface BashArguments {
  readonly command?: string | undefined
  readonly cwd?: string | undefined
  readonly env?: Readonly<Record<string, string>> | undefined
  readonly session?: boolean | string | undefined
  readonly input?: string | undefined
  readonly keys?: readonly unknown[] | undefined
  readonly tty?: boolean | undefined
  readonly restart?: boolean | undefined
}

function problemsOf(args: BashArguments): string[] {
  const { command, cwd, env, session, input, keys, tty, restart } = args
  const isAnswer = input !== undefined || keys !== undefined
  if (session === undefined || session === false) {
    const needs = [isAnswer && 'input and keys', tty && 'tty', restart && 'restart'].filter(Boolean)
    if (needs.length > 0) return [`${needs.join(', ')} need session: true`]
    return command === undefined ? ['expected a command'] : []
  }
  return [
    ...(cwd !== undefined || env !== undefined ? ['cwd and env are of single commands: use cd and export here'] : []),
    ...(command !== undefined && isAnswer ? ['a command and its input are two calls: the input comes second'] : []),
    ...(restart && (command !== undefined || isAnswer) ? ['restart stands alone'] : []),
  ]
}

export const bashTool = builtInTool({
  name: 'bash',
  description:
    'Runs a command in a fresh bash (sh where there is none). Directory and variables do not carry over to the next ' +
    'call; files and background processes do. Returns stdout and stderr. With session: true the shell is kept: ' +
    'directory, variables and functions carry over, and a command that takes longer than timeout_ms runs on. Then call ' +
    'again with session and no command to see what it has written since, with input to answer it, or with keys ' +
    '["C-c"] to interrupt it.',
  arguments: bashArguments,
  run: async (args, context) => {
    const { command, cwd, env, timeout_ms, session } = args
    if (session !== undefined && session !== false) return inSession(args, context)
    if (command === undefined) return invalid('The arguments of bash are wrong: expected a command')
    const timeoutMs = timeout_ms ?? context.timeoutMs
    const directory = posix.resolve(context.workdir, cwd ?? '.')
    if (context.root !== undefined && !`${directory}/`.startsWith(posix.normalize(`${context.root}/`))) {
      return invalid(`cwd is ${JSON.stringify(cwd)}: expected a directory below ${context.root}`)
    }
    const result = await context.runner.exec(
      {
        ...execDefaults(context, 0),
        script: command,
        shell: 'bash',
        cwd: directory,
        env: { ...context.env, ...env },
        timeoutMs,
        captureBytes,
      },
      { signal: context.signal },
    )
    return endOf(result, joined(shortenOutput(result.stdout), shortenOutput(result.stderr)), timeoutMs)
  },
})

const words = {
  noun: 'session',
  goOn:
    'Call again with session and no command to see more, with input to write to it, ' +
    'with keys ["C-c"] to interrupt it, or use a session of another name',
}

async function inSession(args: z.infer<typeof bashArguments>, context: ToolContext): Promise<ToolResult> {
  const call = sessionCall(args, context)
  const report = await callSession(context, call)
  if (call.op === 'end') return { ok: true, outcome: 'exited', exitCode: 0, output: '[the session has been ended]' }
  return sessionResult(report, call.waitMs, words)
}

function sessionCall(args: z.infer<typeof bashArguments>, context: ToolContext): SessionCall {
  const { command, session, input, keys, tty = false, restart, timeout_ms = context.callTimeoutMs } = args
  const common = { kind: 'shell', name: typeof session === 'string' ? session : 'main' } as const
  if (restart) return { ...common, op: 'end', waitMs: 0 }
  if (command !== undefined) {
    const waitMs = timeout_ms ?? Math.min(context.timeoutMs, sessionWaitMs)
    return { ...common, op: 'run', bytes: Buffer.from(`${command}\n`), tty, waitMs }
  }
  const waitMs = timeout_ms ?? Math.min(context.timeoutMs, answerWaitMs)
  if (input === undefined && keys === undefined) return { ...common, op: 'look', waitMs }
  return {
    ...common,
    op: 'look',
    waitMs,
    quietMs: keys === undefined ? answerQuietMs : keyQuietMs,
    ...(input !== undefined && { bytes: Buffer.from(input) }),
    ...(keys !== undefined && { keys }),
  }
}

/** stderr begins on a line of its own. */
function joined(stdout: string, stderr: string): string {
  const separator = stdout === '' || stderr === '' || stdout.endsWith('\n') ? '' : '\n'
  return `${stdout}${separator}${stderr}`
}
