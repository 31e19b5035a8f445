import { z } from 'zod'
import type { CallResult, ToolDescription } from '../agents/agent.ts'
import type { ExecId, ExecResult } from '../protocol/exec.ts'
import type { ExecRequest, Runner } from '../runner/runner.ts'

/** What a tool is given to work with, for one call. */
export interface ToolContext {
  readonly runner: Runner
  /** The id of the call's commands, by part from 0. Parts are numbered in the order of the code, never by chance. */
  readonly execId: (part: number) => ExecId
  /** Absolute; relative paths and commands start here. */
  readonly workdir: string
  /** Absolute: paths of files must stay below it, and directories of commands begin there. Absent: anywhere. */
  readonly root?: string
  readonly user: string | undefined
  readonly env: Readonly<Record<string, string>>
  /** For commands of this call; of the call itself, where it names one. */
  readonly timeoutMs: number
  /** Only where the call names one. */
  readonly callTimeoutMs?: number
  readonly signal: AbortSignal
  /** Keeps an image for whoever sees the result, and says where. Absent: images cannot be kept here. */
  readonly keepImage?: (image: {
    readonly id: ExecId
    readonly bytes: Buffer
    readonly mediaType: string
  }) => Promise<string>
}

/** What a call came to, as the tool sees it. */
export type ToolResult = Omit<CallResult, 'tool' | 'callId'>

/** What one call of a batch may do to a sandbox, as execs. */
export interface Tool {
  readonly description: ToolDescription
  /** What is wrong with a call's arguments, for calls that are known before anything starts. */
  problemsOf(args: unknown): readonly string[]
  /**
   * Runs a call; run twice with the same exec ids it attaches to what the first run started. Wrong arguments and failing
   * commands are results.
   * @throws RollcallError `sandbox-lost`, `provider-unavailable`; the signal's reason when aborted
   */
  run(args: unknown, context: ToolContext): Promise<ToolResult>
}

/** A command of an own tool. */
export interface ToolCommand {
  readonly script: string
  /** `bash` means bash where the image has it. Default `sh`. */
  readonly shell?: 'sh' | 'bash'
  /** Default: the working directory. */
  readonly cwd?: string
  readonly env?: Readonly<Record<string, string>>
  readonly stdin?: string | Uint8Array
  /** Default: the call's. */
  readonly timeoutMs?: number
}

/** What came of it. A failing command is a result. */
export interface ToolExecResult {
  readonly ok: boolean
  readonly outcome: 'exited' | 'signaled' | 'timed-out' | 'lost'
  readonly exitCode?: number
  /** As text, cut in the middle when long. */
  readonly stdout: string
  readonly stderr: string
  /** Head and tail, 64 KiB each, where `truncated`. */
  readonly stdoutBytes: Buffer
  readonly truncated: boolean
}

/** What an own tool is given. */
export interface ToolExec {
  /** Absolute. */
  readonly workdir: string
  /** Of a command that names none. */
  readonly timeoutMs: number
  readonly signal: AbortSignal
  /** Runs a command in the sandbox, once, also when the call is made again by another worker. */
  readonly exec: (command: string | ToolCommand) => Promise<ToolExecResult>
}

/** What `defineTool` makes; `loadTools` makes a Tool of it. */
export interface OwnTool extends Pick<Tool, 'description' | 'problemsOf'> {
  runOwn(args: unknown, sandbox: ToolExec): Promise<ToolResult | string>
}

interface ToolDefinition<Arguments extends z.ZodType> {
  readonly name: string
  readonly description: string
  readonly arguments: Arguments
  readonly run: (args: z.infer<Arguments>, context: ToolContext) => Promise<ToolResult>
}

/** What is known of a tool by its schema: what models are told, and what is wrong with a call. */
export function describeTool(
  definition: Pick<ToolDefinition<z.ZodType>, 'name' | 'description' | 'arguments'>,
): Pick<Tool, 'description' | 'problemsOf'> {
  const { name, description } = definition
  const { $schema: _, ...parameters } = z.toJSONSchema(definition.arguments, { io: 'input' })
  return {
    description: { name, description, parameters },
    problemsOf: (args) => {
      const parsed = definition.arguments.safeParse(args)
      return (parsed.error?.issues ?? []).map(({ path, message }) => [...path.map(String), message].join(': '))
    },
  }
}

/** A tool whose arguments are checked by its schema, from which its description for models is made. */
export function builtInTool<Arguments extends z.ZodType>(definition: ToolDefinition<Arguments>): Tool {
  const { name } = definition
  return {
    ...describeTool(definition),
    run: async (args, context) => {
      const parsed = definition.arguments.safeParse(args)
      if (parsed.success) return definition.run(parsed.data, context)
      return invalid(`The arguments of ${name} are wrong. ${z.prettifyError(parsed.error)}`)
    },
  }
}

export function invalid(output: string): ToolResult {
  return { ok: false, outcome: 'invalid', output }
}

/** A failure that a tool found itself, such as a file that is not there. */
export function failed(output: string): ToolResult {
  return { ok: false, outcome: 'exited', exitCode: 1, output }
}

export function succeeded(output: string): ToolResult {
  return { ok: true, outcome: 'exited', exitCode: 0, output }
}

/** What every exec of a call has in common. */
export function execDefaults(
  context: ToolContext,
  part: number,
): Pick<ExecRequest, 'id' | 'cwd' | 'user' | 'timeoutMs'> {
  return {
    id: context.execId(part),
    cwd: context.workdir,
    ...(context.user !== undefined && { user: context.user }),
    timeoutMs: context.timeoutMs,
  }
}

/** What every exec on a file has in common. */
export function fileDefaults(context: ToolContext, part: number): ReturnType<typeof execDefaults> & { root?: string } {
  return { ...execDefaults(context, part), ...(context.root !== undefined && { root: context.root }) }
}

/** The result of a command: what it said and, unless that is exit code 0, how it ended. */
export function endOf({ outcome }: ExecResult, said: string, timeoutMs: number): ToolResult {
  const text = said === '' || said.endsWith('\n') ? said : `${said}\n`
  switch (outcome.type) {
    case 'exited': {
      const oom = outcome.oomKilled ? ', after the kernel killed a process for want of memory' : ''
      return {
        ok: outcome.code === 0,
        outcome: 'exited',
        exitCode: outcome.code,
        output: outcome.code === 0 ? said : `${text}[exit code ${outcome.code}${oom}]`,
      }
    }
    case 'timed-out':
      return { ok: false, outcome: 'timed-out', output: `${text}[killed: it ran longer than ${timeoutMs / 1000} s]` }
    case 'signaled':
      return { ok: false, outcome: 'signaled', output: `${text}[stopped with ${outcome.signal}]` }
    case 'lost':
      return { ok: false, outcome: 'lost', output: `${text}[${lostSentence[outcome.reason]}]` }
  }
}

const lostSentence = {
  'supervisor-gone': 'The process that watched over the command was killed; how the command ended is not known',
  'journal-full':
    'The sandbox has no room for it: its disk is full, or it keeps too many results; the command was not started',
  acknowledged: 'The result of this command is no longer kept',
} as const
