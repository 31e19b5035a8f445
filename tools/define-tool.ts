import type { z } from 'zod'
import { describeTool, invalid, type OwnTool, type ToolExec, type ToolResult } from './tool.ts'

export interface ToolDefinition<Arguments extends z.ZodType> {
  /** Letters, digits, `_` and `-`; not that of a tool that is there already. */
  readonly name: string
  /** What a model is told: when to use it, and what it gives. */
  readonly description: string
  /** A zod object; what models are told about the arguments is made from it. */
  readonly arguments: Arguments
  /**
   * What a call means, as commands in the sandbox. May be called again for the same call, when its worker has died: it
   * must then ask for the same commands, in whichever order, which are not run again. A text is a success; for anything
   * else a result. What it throws is a failed call.
   */
  readonly run: (args: z.infer<Arguments>, sandbox: ToolExec) => Promise<ToolResult | string>
}

/** A tool of one's own: export it from a file and name that with `--tools`. */
export function defineTool<Arguments extends z.ZodType>(definition: ToolDefinition<Arguments>): OwnTool {
  const described = describeTool(definition)
  return {
    ...described,
    runOwn: async (args, sandbox) => {
      const problems = described.problemsOf(args)
      if (problems.length > 0) return invalid(`The arguments of ${definition.name} are wrong. ${problems.join('; ')}`)
      return definition.run(definition.arguments.parse(args), sandbox)
    },
  }
}
