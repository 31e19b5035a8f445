import { z } from 'zod'
import { importBundle } from '../agents/import-bundle.ts'
import { RollcallError } from '../protocol/failure.ts'
import type { ToolModule } from '../protocol/job.ts'
import { execParts } from './exec-parts.ts'
import { shorten } from './shorten.ts'
import { failed, type OwnTool, type Tool, type ToolContext, type ToolResult } from './tool.ts'

const toolShape = z.object({
  description: z.object({ name: z.string(), description: z.string(), parameters: z.record(z.string(), z.unknown()) }),
  problemsOf: z.custom((value) => typeof value === 'function'),
  runOwn: z.custom((value) => typeof value === 'function'),
})

const toolName = /^[a-zA-Z][a-zA-Z0-9_-]{0,63}$/

const toolResult = z.strictObject({
  ok: z.boolean(),
  output: z.string(),
  outcome: z.enum(['exited', 'signaled', 'timed-out', 'lost', 'invalid', 'running']),
  exitCode: z.number().int().optional(),
  submitted: z.literal(true).optional(),
})

/**
 * The tools that a bundle exports, on a worker. Loading it twice is harmless.
 * @throws RollcallError `configuration-invalid` when it does not load, exports none, or one cannot be called so
 */
export async function loadTools(
  module: ToolModule,
  from: { readBundle: (key: string) => Promise<Buffer>; cacheDirectory: string },
): Promise<Tool[]> {
  const bytes = await from.readBundle(module.key)
  const exports = await importBundle({ key: module.key, bytes }, from.cacheDirectory).catch((error: unknown) => {
    throw wrong(module, `expected it to load, but ${reasonOf(error)}`)
  })
  const found = Object.values(exports).flatMap((exported: unknown) => {
    return toolShape.safeParse(exported).success ? [exported as OwnTool] : []
  })
  if (found.length === 0) throw wrong(module, 'expected export const … = defineTool({ … })')
  const bad = found.map(({ description }) => description.name).find((name) => !toolName.test(name))
  if (bad !== undefined)
    throw wrong(module, `tool ${JSON.stringify(bad)} needs a name of letters, digits, _ and -, at most 64`)
  return found.map(toolOf)
}

/** An own tool, held to its contract: its result is checked, and its own errors are results. */
export function toolOf(tool: OwnTool): Tool {
  const { description } = tool
  return {
    description,
    problemsOf: (args) => tool.problemsOf(args),
    run: async (args, context) => {
      try {
        const answer: unknown = await untilAborted(tool.runOwn(args, execParts(context)), context.signal)
        if (typeof answer === 'string') return { ok: true, outcome: 'exited', exitCode: 0, output: shorten(answer) }
        const parsed = toolResult.safeParse(answer)
        if (parsed.success) return withoutUndefined({ ...parsed.data, output: shorten(parsed.data.output) })
        return failed(
          `Tool ${description.name} answered wrongly: ${z.prettifyError(parsed.error).replaceAll(/\s+/g, ' ')}`,
        )
      } catch (error) {
        return thrown(description.name, error, context)
      }
    },
  }
}

/** The tool's answer, or the signal's reason: not every tool hears it, and one that hangs would hold the agent's end. */
async function untilAborted(answer: Promise<unknown>, signal: AbortSignal): Promise<unknown> {
  const { promise: aborted, reject } = Promise.withResolvers<never>()
  const letGo = (): void => reject(signal.reason)
  if (signal.aborted) letGo()
  signal.addEventListener('abort', letGo, { once: true })
  try {
    return await Promise.race([answer, aborted])
  } finally {
    signal.removeEventListener('abort', letGo)
  }
}

/** What the sandbox or the worker throws passes through; what the tool throws is its result. */
function thrown(name: string, error: unknown, { signal }: ToolContext): ToolResult {
  if (signal.aborted) throw signal.reason
  if (error instanceof RollcallError) throw error
  return failed(shorten(`Tool ${name} threw: ${reasonOf(error)}`))
}

function withoutUndefined({ exitCode, submitted, ...rest }: z.infer<typeof toolResult>): ToolResult {
  return { ...rest, ...(exitCode !== undefined && { exitCode }), ...(submitted && { submitted }) }
}

function wrong({ source }: ToolModule, expected: string): RollcallError {
  return new RollcallError('configuration-invalid', `--tools ${source} is not usable: ${expected}`)
}

function reasonOf(error: unknown): string {
  return error instanceof Error ? error.message : String(error)
}
