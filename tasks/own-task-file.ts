import { join } from 'node:path'
import { parse, YAMLParseError } from 'yaml'
import { z } from 'zod'
import { poolNamePattern } from '../protocol/pool.ts'
import { runtimeConfigSchema } from '../protocol/runtime-config.ts'
import type { Problem } from '../providers/contract/provider.ts'
import { judgeSchema } from './judge.ts'
import { malformedTemplates } from './host-templates.ts'
import { problemsOfIssues, shownValue, unreadValue } from './problems.ts'
import { readPlainFile } from './read-plain-file.ts'
import type { Task } from './task.ts'

/** Beside task.toml: what Harbor's format has no word for. Harbor passes it over. */
export const ownTaskFile = 'rollcall.yaml'

const schema = z.strictObject(
  {
    runtime: runtimeConfigSchema.optional(),
    grader: z.strictObject({ bundle: z.string(), task: z.string(), source: z.string() }, 'a table').optional(),
    judge: judgeSchema.optional(),
    profile: z.string('text').regex(poolNamePattern, 'the name of a profile').optional(),
  },
  'a table',
)

/** What a task's `rollcall.yaml` adds to it; nothing where there is none. */
export async function readOwnTaskFile(
  directory: string,
): Promise<{ own: Pick<Task, 'ownRuntime' | 'grader' | 'judge' | 'profile'>; problems: Problem[] }> {
  const source = await readPlainFile(join(directory, ownTaskFile)).catch(unreadValue)
  if (!Buffer.isBuffer(source)) {
    const expected = 'a readable file, or none'
    return { own: {}, problems: source.value === undefined ? [] : [{ field: ownTaskFile, ...source, expected }] }
  }
  const read = parseYaml(source.toString())
  if ('problem' in read) return { own: {}, problems: [read.problem] }
  const parsed = schema.safeParse(read.value)
  if (!parsed.success) {
    const problems = problemsOfIssues({ error: parsed.error, input: read.value, schema })
    return { own: {}, problems: problems.map((one) => ({ ...one, field: `${ownTaskFile}: ${one.field || 'file'}` })) }
  }
  const { runtime, grader, judge, profile } = parsed.data
  const own = {
    ...(runtime === undefined ? {} : { ownRuntime: runtime }),
    ...(grader === undefined ? {} : { grader }),
    ...(judge === undefined ? {} : { judge }),
    ...(profile === undefined ? {} : { profile }),
  }
  const twice =
    grader !== undefined && judge !== undefined
      ? [{ field: `${ownTaskFile}: judge`, value: shownValue(judge.model), expected: 'none beside grader' }]
      : []
  return { own, problems: [...twice, ...templateProblems(runtime?.env ?? {})] }
}

function parseYaml(source: string): { value: unknown } | { problem: Problem } {
  try {
    return { value: parse(source) ?? {} }
  } catch (error) {
    if (!(error instanceof YAMLParseError)) throw error
    const field = `${ownTaskFile}:${error.linePos?.[0].line ?? 1}`
    return { problem: { field, value: `no YAML (${error.message.split('\n')[0]})`, expected: 'a table' } }
  }
}

function templateProblems(env: Readonly<Record<string, string | null>>): Problem[] {
  return Object.entries(env)
    .filter(([, value]) => malformedTemplates(value ?? '').length > 0)
    .map(([name, value]) => ({
      field: `${ownTaskFile}: runtime.env.${name}`,
      value: shownValue(value),
      expected: 'plain text, ${VAR} or ${VAR:-default}',
    }))
}
