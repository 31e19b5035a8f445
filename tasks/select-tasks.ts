import picomatch from 'picomatch'
import { uniformInt } from 'pure-rand/distribution/uniformInt'
import { mersenne } from 'pure-rand/generator/mersenne'
import { RollcallError } from '../protocol/failure.ts'
import type { Selection } from '../protocol/job.ts'
import { counted } from '../protocol/names.ts'

type Selectable = { readonly name: string; readonly metadata: Readonly<Record<string, unknown>> }

/** Names of tasks shown in a message. */
const mostShown = 10

/**
 * The tasks that a selection leaves: by name and metadata, then shuffled, then the first few. The same tasks and the
 * same seed give the same order on every machine, in whatever order they come.
 * @throws RollcallError `configuration-invalid` when none is left, saying what left none
 */
export function selectTasks<One extends Selectable>(tasks: readonly One[], selection: Selection): One[] {
  const { include = [], exclude = [], where = {}, seed, limit } = selection
  const included = include.length === 0 ? tasks : tasks.filter(({ name }) => matcher(include)(name))
  if (included.length === 0) throw nothingLeft(tasks, `--include ${shown(include)} matches none of them`)
  const kept = exclude.length === 0 ? included : included.filter(({ name }) => !matcher(exclude)(name))
  if (kept.length === 0) throw nothingLeft(included, `--exclude ${shown(exclude)} leaves none`)
  const meant = kept.filter(({ metadata }) => hasMetadata(metadata, where))
  if (meant.length === 0)
    throw nothingLeft(kept, `--where ${describeWhere(where)} is true for none (${seen(kept, where)})`)
  return (seed === undefined ? meant : shuffled(meant, seed)).slice(0, limit)
}

function matcher(globs: readonly string[]): (name: string) => boolean {
  const matches = picomatch([...globs])
  return (name) => matches(name)
}

function hasMetadata(metadata: Selectable['metadata'], where: NonNullable<Selection['where']>): boolean {
  return Object.entries(where).every(([path, wanted]) =>
    valuesAt(metadata, path).some((value) => wanted.includes(value)),
  )
}

/** What stands at a dotted path, as text: one value, or each of a list. */
function valuesAt(metadata: Selectable['metadata'], path: string): string[] {
  const parts = Object.hasOwn(metadata, path) ? [path] : path.split('.')
  const value = parts.reduce<unknown>((at, part) => {
    return typeof at === 'object' && at !== null && Object.hasOwn(at, part) ? Reflect.get(at, part) : undefined
  }, metadata)
  const values: readonly unknown[] = Array.isArray(value) ? value : [value]
  return values.filter((one) => ['string', 'number', 'boolean'].includes(typeof one)).map(String)
}

/** Fisher and Yates, from the order of names, with a generator that gives the same numbers everywhere. */
function shuffled<One extends Selectable>(tasks: readonly One[], seed: number): One[] {
  const rest = tasks.toSorted((a, b) => (a.name < b.name ? -1 : 1))
  const generator = mersenne(seed)
  const drawn: One[] = []
  while (rest.length > 0) drawn.push(...rest.splice(uniformInt(generator, 0, rest.length - 1), 1))
  return drawn
}

function nothingLeft(tasks: readonly Selectable[], why: string): RollcallError {
  const names = tasks.slice(0, mostShown).map(({ name }) => name)
  const more = tasks.length > mostShown ? ` and ${tasks.length - mostShown} more` : ''
  return new RollcallError(
    'configuration-invalid',
    `No task is left of ${counted(tasks.length, 'task')}: ${why}; there are ${names.join(', ')}${more}`,
  )
}

function shown(globs: readonly string[]): string {
  return globs.map((glob) => JSON.stringify(glob)).join(' ')
}

function describeWhere(where: NonNullable<Selection['where']>): string {
  return Object.entries(where)
    .map(([path, values]) => `${path}=${values.join('|')}`)
    .join(' ')
}

/** What the tasks say at the paths that were asked for, so that a misspelling is seen. */
function seen(tasks: readonly Selectable[], where: NonNullable<Selection['where']>): string {
  const paths = Object.keys(where).map((path) => {
    const values = [...new Set(tasks.flatMap(({ metadata }) => valuesAt(metadata, path)))]
    const most = values.slice(0, mostShown).join(', ')
    return values.length === 0 ? `no task has ${path}` : `${path} is ${most}${values.length > mostShown ? ', …' : ''}`
  })
  return paths.join('; ')
}
