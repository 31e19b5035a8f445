import { parse, YAMLParseError } from 'yaml'
import { z } from 'zod'
import { RollcallError } from '../protocol/failure.ts'
import { tools } from '../tools/tools.ts'
import type { Decision } from './agent.ts'

const call = z.strictObject({
  tool: z.string().min(1),
  args: z.record(z.string(), z.json()).default({}),
  timeout_ms: z.int().positive().optional(),
})

const turn = z.strictObject({
  message: z.string().optional(),
  calls: z.array(call),
  mode: z.enum(['sequence', 'parallel']).optional(),
  stop_on_error: z.boolean().optional(),
})

const turnsFile = z.strictObject({ turns: z.array(turn).min(1) })

/**
 * Reads turns written down in YAML. `source` names the file in messages.
 * @throws RollcallError `agent-invalid` with every problem in one sentence
 */
export function parseTurns(yaml: string, source: string): Decision[] {
  const parsed = turnsFile.safeParse(parseYaml(yaml, source))
  if (!parsed.success) {
    const problems = parsed.error.issues.map((issue) => `${issue.path.join('.') || 'file'}: ${issue.message}`)
    throw new RollcallError('agent-invalid', `${source} is not a list of turns: ${problems.join('; ')}`)
  }
  const problems = parsed.data.turns.flatMap((each, number) =>
    each.calls.flatMap((made, at) => callProblems(made, `turns.${number}.calls.${at}`)),
  )
  if (problems.length > 0)
    throw new RollcallError('agent-invalid', `${source} cannot be played: ${problems.join('; ')}`)
  return parsed.data.turns.map(decisionOf)
}

/** A tool that does not exist, or arguments that it does not take, would be a turn of nothing. */
function callProblems({ tool, args }: z.infer<typeof call>, where: string): string[] {
  const known = tools.get(tool)
  if (known === undefined)
    return [`${where}.tool is ${JSON.stringify(tool)}: expected one of ${[...tools.keys()].join(', ')}`]
  return known.problemsOf(args).map((problem) => `${where}.args of ${tool}: ${problem}`)
}

function parseYaml(yaml: string, source: string): unknown {
  try {
    return parse(yaml)
  } catch (error) {
    if (!(error instanceof YAMLParseError)) throw error
    const line = error.linePos?.[0].line ?? 1
    throw new RollcallError('agent-invalid', `${source}:${line} is not valid YAML: ${error.message.split('\n')[0]}`)
  }
}

function decisionOf({ message, calls, mode, stop_on_error: stopOnError }: z.infer<typeof turn>): Decision {
  return {
    calls: calls.map(({ tool, args, timeout_ms: timeoutMs }) => ({
      tool,
      args,
      ...(timeoutMs === undefined ? {} : { timeoutMs }),
    })),
    ...(message === undefined ? {} : { message }),
    ...(mode === undefined ? {} : { mode }),
    ...(stopOnError === undefined ? {} : { stopOnError }),
  }
}
