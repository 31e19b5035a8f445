import { posix } from 'node:path'
import type { ToolCommand, ToolContext, ToolExec, ToolExecResult } from './tool.ts'
import { shortenOutput } from './shorten.ts'
import { execDefaults } from './tool.ts'

const captureBytes = 65_536

/**
 * What an own tool works with: each command it asks for is the call's next exec. Asked for in the same order, the same
 * commands have the same ids, so a call that is made again finds what it has done.
 */
export function execParts(context: ToolContext): ToolExec {
  let part = 0
  return {
    workdir: context.workdir,
    timeoutMs: context.timeoutMs,
    signal: context.signal,
    exec: (command) => run(context, part++, typeof command === 'string' ? { script: command } : command),
  }
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
