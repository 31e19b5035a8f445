import { posix } from 'node:path'
import { z } from 'zod'
import { shortenOutput } from './shorten.ts'
import { defineTool, endOf, execDefaults, invalid } from './tool.ts'

/** Enough for the characters that an agent sees, whatever their encoding. */
const captureBytes = 65_536

export const bashTool = defineTool({
  name: 'bash',
  description:
    'Runs a command in a fresh bash (sh where there is none). Directory and variables do not carry over to the next ' +
    'call; files and background processes do. Returns stdout and stderr.',
  arguments: z.strictObject({
    command: z.string().min(1).describe('The command, of any length and number of lines'),
    cwd: z.string().optional().describe('Directory to run in; default: the working directory'),
    env: z.record(z.string(), z.string()).optional().describe('Variables to add'),
    timeout_ms: z.number().int().positive().optional().describe('The command is killed after this time'),
  }),
  run: async ({ command, cwd, env, timeout_ms }, context) => {
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

/** stderr begins on a line of its own. */
function joined(stdout: string, stderr: string): string {
  const separator = stdout === '' || stderr === '' || stdout.endsWith('\n') ? '' : '\n'
  return `${stdout}${separator}${stderr}`
}
