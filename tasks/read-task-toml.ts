import { join } from 'node:path'
import { parse, TomlError } from 'smol-toml'
import type { Problem } from '../providers/contract/provider.ts'
import { runtimeContradictions } from './harbor-runtime.ts'
import { harborTaskSchema } from './harbor-schema.ts'
import type { HarborTaskFile } from './harbor-schema.ts'
import { unsupportedFields } from './harbor-unsupported.ts'
import { problemsOfIssues, shownValue, unreadValue } from './problems.ts'
import { readPlainFile } from './read-plain-file.ts'

/**
 * Reads `task.toml`. `file` is there when it has the right shape, also where some of what it asks for is refused, so
 * that the rest of the task can be checked in its light.
 */
export async function readTaskToml(root: string): Promise<{ file?: HarborTaskFile; problems: Problem[] }> {
  const source = await readPlainFile(join(root, 'task.toml')).catch(unreadValue)
  if (!Buffer.isBuffer(source)) {
    return { problems: [{ field: 'task.toml', ...source, expected: 'a file that describes the task' }] }
  }
  const read = parseToml(source.toString())
  if ('problem' in read) return { problems: [read.problem] }
  const parsed = harborTaskSchema.safeParse(read.value)
  if (!parsed.success) {
    return { problems: problemsOfIssues({ error: parsed.error, input: read.value, schema: harborTaskSchema }) }
  }
  const file = parsed.data
  return { file, problems: [...versionProblems(file), ...unsupportedFields(file), ...runtimeContradictions(file)] }
}

function parseToml(source: string): { value: unknown } | { problem: Problem } {
  try {
    return { value: parse(source) }
  } catch (error) {
    if (!(error instanceof TomlError)) throw error
    const reason = error.message.split('\n')[0]?.replace('Invalid TOML document: ', '')
    const line = source.split('\n')[error.line - 1]?.trim() ?? ''
    return {
      problem: {
        field: `task.toml:${error.line}:${error.column}`,
        value: shownValue(line),
        expected: `valid TOML (${reason ?? 'syntax error'})`,
      },
    }
  }
}

/** The legacy root key `version` means the same as `schema_version`. */
function versionProblems(file: HarborTaskFile): Problem[] {
  if (file.version === undefined || file.schema_version === undefined || file.version === file.schema_version) return []
  const expected = `the same as schema_version, which is ${shownValue(file.schema_version)}; remove the deprecated one`
  return [{ field: 'version', value: shownValue(file.version), expected }]
}
