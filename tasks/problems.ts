import { z } from 'zod'
import type { Problem } from '../providers/contract/provider.ts'

/** `environment.cpus is "many": expected a number of CPUs above 0`, or `… is missing: …` where there is no value. */
export function describeProblem(problem: Problem): string {
  const found = problem.value === undefined ? 'is missing' : `is ${problem.value}`
  return `${problem.field} ${found}: expected ${problem.expected}`
}

/** A value as a problem shows it: JSON where there is any, cut to a length that keeps the sentence readable. */
export function shownValue(value: unknown): string {
  const text = (typeof value === 'number' ? undefined : JSON.stringify(value)) ?? String(value)
  return text.length <= 100 ? text : `${text.slice(0, 97)}...`
}

/** What to say of a file that could not be read: nothing where it is missing, as a problem without a value says so. */
export function unreadValue(error: NodeJS.ErrnoException): { value?: string } {
  return error.code === 'ENOENT' ? {} : { value: `not readable (${error.code ?? error.message})` }
}

/** All issues of a failed parse as problems: every message of the schema is an expectation. */
export function problemsOfIssues(parsed: { error: z.ZodError; input: unknown; schema: z.ZodType }): Problem[] {
  return parsed.error.issues.flatMap(nearestIssues).flatMap((issue) => {
    if (issue.code === 'unrecognized_keys') return unknownKeys(issue.path, issue.keys, parsed)
    return [problemOfIssue(issue, parsed.input)]
  })
}

/** Of a table that is none of several kinds: what is wrong with it as the kind that it comes nearest to. */
function nearestIssues(issue: z.core.$ZodIssue): z.core.$ZodIssue[] {
  if (issue.code !== 'invalid_union') return [issue]
  const isOfTable = ({ code, path }: z.core.$ZodIssue) => path.length > 0 || code === 'unrecognized_keys'
  const kinds = issue.errors.filter((issues) => issues.length > 0 && issues.every(isOfTable))
  const [nearest] = kinds.toSorted((a, b) => a.length - b.length)
  if (nearest === undefined) return [issue]
  return nearest.map((inner) => ({ ...inner, path: [...issue.path, ...inner.path] })).flatMap(nearestIssues)
}

function problemOfIssue(issue: z.core.$ZodIssue, input: unknown): Problem {
  const path = heldPath(input, issue.path)
  const value = valueAt(input, path)
  const isKeyIssue = issue.code === 'invalid_key'
  const expected = isKeyIssue ? (issue.issues[0]?.message ?? issue.message) : issue.message
  return {
    field: fieldName(path),
    ...(value === undefined ? {} : { value: shownValue(value) }),
    expected: isKeyIssue ? `${expected} as the key` : expected,
  }
}

function unknownKeys(
  path: readonly PropertyKey[],
  keys: readonly string[],
  parsed: { input: unknown; schema: z.ZodType },
): Problem[] {
  const known = knownKeys(parsed.schema, path).join(', ')
  return keys.map((key) => ({
    field: fieldName([...path, key]),
    value: shownValue(valueAt(parsed.input, [...path, key])),
    expected: `no such key; known here: ${known}; correct the spelling or remove it`,
  }))
}

/** Keys that a schema knows at a path, through optional fields and lists. */
function knownKeys(schema: z.core.$ZodType, path: readonly PropertyKey[]): string[] {
  if (schema instanceof z.ZodOptional || schema instanceof z.ZodNullable) return knownKeys(schema.unwrap(), path)
  if (schema instanceof z.ZodPipe) {
    return knownKeys(schema.out instanceof z.ZodTransform ? schema.in : schema.out, path)
  }
  if (schema instanceof z.ZodUnion) return schema.options.flatMap((option) => knownKeys(option, path))
  const [head, ...rest] = path
  if (schema instanceof z.ZodArray) return knownKeys(schema.element, rest)
  if (!(schema instanceof z.ZodObject)) return []
  if (head === undefined) return Object.keys(schema.shape)
  const next: unknown = schema.shape[String(head)]
  return next instanceof z.ZodType ? knownKeys(next, rest) : []
}

/** The path up to a value that holds nothing: a text that stands for a table has no fields to name. */
function heldPath(input: unknown, path: readonly PropertyKey[]): readonly PropertyKey[] {
  const end = path.findIndex((_, depth) => {
    const value = valueAt(input, path.slice(0, depth + 1))
    return value !== undefined && typeof value !== 'object'
  })
  return end === -1 ? path : path.slice(0, end + 1)
}

function fieldName(path: readonly PropertyKey[]): string {
  return path.reduce<string>((name, part) => {
    if (typeof part === 'number') return `${name}[${part}]`
    const key = /^[\w-]+$/.test(String(part)) ? String(part) : JSON.stringify(String(part))
    return name === '' ? key : `${name}.${key}`
  }, '')
}

function valueAt(input: unknown, path: readonly PropertyKey[]): unknown {
  return path.reduce<unknown>((value, part) => {
    if (typeof value !== 'object' || value === null) return undefined
    return Object.hasOwn(value, part) ? Reflect.get(value, part) : undefined
  }, input)
}
