import { basename, extname } from 'node:path'
import { parse as parseToml, TomlError } from 'smol-toml'
import { isNode, LineCounter, parseDocument } from 'yaml'
import type { Document } from 'yaml'
import { z } from 'zod'
import { runtimeConfigSchema } from '../protocol/runtime-config.ts'
import type { RuntimeConfig } from '../protocol/runtime-config.ts'
import type { Problem } from '../providers/contract/provider.ts'
import { describeProblem, problemsOfIssues, unreadValue } from './problems.ts'
import { readPlainFile } from './read-plain-file.ts'
import { taskRowSchema } from './task-row.ts'
import type { TaskRow } from './task-row.ts'

/** A row, and where it stands: `tasks.jsonl:3`. */
export interface PlacedRow {
  readonly row: TaskRow
  readonly at: string
}

export interface RowFile {
  readonly name?: string
  /** Below the runtime of each task. */
  readonly runtime?: RuntimeConfig
  readonly rows: readonly PlacedRow[]
  /** Whole sentences, each with file and line. */
  readonly problems: readonly string[]
}

/** What a text can hold in Node is not much more. */
const mostBytes = 256 * 1024 ** 2

export const rowFileExtensions = ['.jsonl', '.yaml', '.yml', '.toml'] as const

const tasksetSchema = z.strictObject(
  {
    /** Default: the file's or the folder's. */
    name: z.string('text').min(1, 'text that is not empty').optional(),
    runtime: runtimeConfigSchema.optional(),
    tasks: z.array(taskRowSchema, 'a list of tasks').optional(),
  },
  'a table with tasks and perhaps name and runtime',
)

/** Reads tasks out of a JSONL (a row on each line), YAML or TOML file. Everything wrong with it is told at once. */
export async function readRowFile(path: string): Promise<RowFile> {
  const file = basename(path)
  const bytes = await readPlainFile(path, mostBytes).catch(unreadValue)
  if (!Buffer.isBuffer(bytes)) {
    return {
      rows: [],
      problems: [`${file}: ${describeProblem({ field: 'it', ...bytes, expected: 'a file of tasks' })}`],
    }
  }
  const text = bytes.toString()
  if (extname(path) === '.jsonl') return readJsonLines(text, file)
  return extname(path) === '.toml' ? readToml(text, file) : readYaml(text, file)
}

function readJsonLines(text: string, file: string): RowFile {
  const lines = text.split('\n').map((line, index) => ({ line, at: `${file}:${index + 1}` }))
  const read = lines.filter(({ line }) => line.trim() !== '').map(({ line, at }) => readJsonLine(line, at))
  return {
    rows: read.flatMap((one) => ('row' in one ? [one] : [])),
    problems: read.flatMap((one) => ('problems' in one ? one.problems : [])),
  }
}

function readJsonLine(line: string, at: string): PlacedRow | { problems: string[] } {
  let value: unknown
  try {
    value = JSON.parse(line)
  } catch (error) {
    if (!(error instanceof SyntaxError)) throw error
    return { problems: [`${at}: expected valid JSON (${error.message})`] }
  }
  const parsed = taskRowSchema.safeParse(value)
  if (parsed.success) return { row: parsed.data, at }
  const problems = problemsOfIssues({ error: parsed.error, input: value, schema: taskRowSchema })
  return { problems: problems.map((problem) => `${at}: ${describeRowProblem(problem)}`) }
}

function describeRowProblem(problem: Problem): string {
  return describeProblem(problem.field === '' ? { ...problem, field: 'the row' } : problem)
}

function readYaml(text: string, file: string): RowFile {
  const lines = new LineCounter()
  const document = parseDocument(text, { lineCounter: lines })
  const [error] = document.errors
  if (error !== undefined) {
    const line = error.linePos?.[0].line ?? 1
    return { rows: [], problems: [`${file}:${line}: expected valid YAML (${error.message.split('\n')[0]})`] }
  }
  const lineOf = (path: readonly PropertyKey[]) => lines.linePos(offsetOf(document, path)).line
  return readTaskset(document.toJS() ?? {}, { file, lineOf })
}

/** Where a path begins, or the innermost part of it that is there. */
function offsetOf(document: Document, path: readonly PropertyKey[]): number {
  for (let length = path.length; length >= 0; length -= 1) {
    const node = length === 0 ? document.contents : document.getIn(path.slice(0, length), true)
    if (isNode(node) && node.range) return node.range[0]
  }
  return 0
}

function readToml(text: string, file: string): RowFile {
  try {
    return readTaskset(parseToml(text), { file, lineOf: () => undefined })
  } catch (error) {
    if (!(error instanceof TomlError)) throw error
    const reason = error.message.split('\n')[0]?.replace('Invalid TOML document: ', '')
    return { rows: [], problems: [`${file}:${error.line}: expected valid TOML (${reason})`] }
  }
}

interface Places {
  readonly file: string
  readonly lineOf: (path: readonly PropertyKey[]) => number | undefined
}

/** A bare list is a list of tasks. */
function readTaskset(value: unknown, { file, lineOf }: Places): RowFile {
  const isList = Array.isArray(value)
  const input = isList ? { tasks: value as unknown[] } : value
  const placeOf = (path: readonly PropertyKey[]) => {
    const line = lineOf(isList ? path.slice(1) : path)
    return line === undefined ? file : `${file}:${line}`
  }
  const parsed = tasksetSchema.safeParse(input)
  if (!parsed.success) {
    const problems = parsed.error.issues.flatMap((issue) => {
      const found = problemsOfIssues({ error: new z.ZodError([issue]), input, schema: tasksetSchema })
      return found.map((problem) => `${placeOf(issue.path)}: ${describeRowProblem(problem)}`)
    })
    return { rows: [], problems }
  }
  const { name, runtime, tasks = [] } = parsed.data
  return {
    ...(name === undefined ? {} : { name }),
    ...(runtime === undefined ? {} : { runtime }),
    rows: tasks.map((row, index) => ({ row, at: placeOf(['tasks', index]) })),
    problems: [],
  }
}
