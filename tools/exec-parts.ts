import { posix } from 'node:path'
import { askedParts, sortedVariables } from '../runner/asked-parts.ts'
import type { ToolCommand, ToolContext, ToolExec, ToolExecResult } from './tool.ts'
import { shortenOutput } from './shorten.ts'
import { execDefaults } from './tool.ts'

const captureBytes = 65_536

/**
 * What an own tool works with. A command is known by what it is, so a call that is made again finds what it has done, in
 * whichever order it asks.
 */
export function execParts(context: ToolContext): ToolExec {
  const partOf = askedParts()
  return {
    workdir: context.workdir,
    timeoutMs: context.timeoutMs,
    signal: context.signal,
    exec: (asked) => {
      const command = typeof asked === 'string' ? { script: asked } : asked
      const result = run(context, partOf(questionOf(command)), command)
      // A tool need not wait for it, or may have thrown meanwhile.
      result.catch(() => {})
      return result
    },
  }
}

/** Without the time limit, which may be what is left of something. */
function questionOf({ script, shell, cwd, env, stdin }: ToolCommand): unknown[] {
  const input = stdin === undefined ? undefined : Buffer.from(stdin).toString('base64')
  return [script, shell, cwd, sortedVariables(env), input]
}

async function run(context: ToolContext, part: number, command: ToolCommand): Promise<ToolExecResult> {
  const { script, cwd, env, stdin, timeoutMs = context.timeoutMs } = command
  const result = await context.runner.exec(
    {
      ...execDefaults(context, part),
      script,
      shell: command.shell ?? 'sh',
      cwd: posix.resolve(context.workdir, cwd ?? '.'),
      env: { ...context.env, ...env },
      ...(stdin !== undefined && { stdin: Buffer.from(stdin) }),
      timeoutMs,
      captureBytes,
    },
    { signal: context.signal },
  )
  const { outcome, stdout, stderr } = result
  return {
    outcome: outcome.type,
    ...(outcome.type === 'exited' && { exitCode: outcome.code }),
    ok: outcome.type === 'exited' && outcome.code === 0,
    stdout: shortenOutput(stdout),
    stderr: shortenOutput(stderr),
    stdoutBytes: stdout.truncated ? Buffer.concat([stdout.head, stdout.tail]) : stdout.head,
    truncated: stdout.truncated || stderr.truncated,
  }
}
