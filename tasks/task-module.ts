import { basename, dirname, extname } from 'node:path'
import { fileURLToPath } from 'node:url'
import { importBundle } from '../agents/import-bundle.ts'
import { RollcallError } from '../protocol/failure.ts'
import { bundleKey } from '../store/keys.ts'
import { definedTasks } from './define-task.ts'
import type { DefinedTask, Grader } from './define-task.ts'
import { describeProblem, problemsOfIssues } from './problems.ts'
import { taskRowSchema } from './task-row.ts'
import type { GraderReference } from './task.ts'
import type { RowTask } from './write-task.ts'

/** A bundle to be put into the store, for graders. */
export interface TaskBundle {
  readonly key: string
  readonly bytes: Buffer
}

export interface ModuleTasks {
  readonly tasks: readonly (RowTask & { readonly at: string })[]
  /** Absent where no task has a grader. */
  readonly bundle?: TaskBundle
  readonly problems: readonly string[]
}

/** What `rollcall` means inside a bundle: the little that tasks need, not the client with its native modules. */
const light = fileURLToPath(new URL(`./define-task${extname(import.meta.url)}`, import.meta.url))

/**
 * Bundles a module that exports tasks, and reads them.
 * @throws RollcallError `task-invalid` when it cannot be bundled or loaded: native modules are refused by name
 */
export async function readTaskModule(path: string, cacheDirectory: string): Promise<ModuleTasks> {
  const bundle = await bundleTasks(path)
  const exports = await importBundle(bundle, cacheDirectory).catch((error: Error) => {
    throw new RollcallError('task-invalid', `Taskset ${path} cannot be loaded: ${error.message}`, { cause: error })
  })
  const defined = definedTasks(exports)
  if (defined.length === 0) {
    const has = Object.keys(exports).join(', ') || 'nothing'
    const expected = 'expected export const … = defineTask({ … }), or a list of them'
    return { tasks: [], problems: [`${basename(path)} exports no task (it exports ${has}): ${expected}`] }
  }
  return checkDefinitions(defined, { path, bundle })
}

/** @throws RollcallError `task-invalid` */
export async function bundleTasks(path: string): Promise<TaskBundle> {
  const { bundleModule } = await import('../agents/bundle-module.ts')
  const kind = { code: 'task-invalid', noun: 'Taskset', option: 'Taskset', alias: { rollcall: light } } as const
  const { bytes, hash } = await bundleModule(path, kind)
  return { key: bundleKey(hash), bytes }
}

/** Definitions as rows; a grader becomes a reference to the bundle. */
export function checkDefinitions(
  defined: readonly DefinedTask[],
  { path, bundle }: { path: string; bundle: TaskBundle | undefined },
): ModuleTasks {
  const source = basename(path)
  const checked = defined.map((definition, index) => {
    const { grade, ...row } = definition
    const parsed = taskRowSchema.safeParse(row)
    const at = `${source}: task ${typeof row.name === 'string' ? row.name : index + 1}`
    if (!parsed.success) {
      const problems = problemsOfIssues({ error: parsed.error, input: row, schema: taskRowSchema })
      return { problems: problems.map((problem) => `${at}: ${describeProblem(problem)}`) }
    }
    if (grade === undefined) return { task: { row: parsed.data, directory: dirname(path), at } }
    if (bundle === undefined) return { problems: [`${at}: grade is a function: ${needsModule}`] }
    const grader: GraderReference = { bundle: bundle.key, task: row.name, source }
    return { task: { row: parsed.data, grader, directory: dirname(path), at } }
  })
  const tasks = checked.flatMap(({ task }) => task ?? [])
  return {
    tasks,
    problems: checked.flatMap(({ problems }) => problems ?? []),
    ...(bundle !== undefined && tasks.some(({ grader }) => grader !== undefined) ? { bundle } : {}),
  }
}

const needsModule =
  'expected Taskset.from(tasks, { module: import.meta.url }) of a module that exports its tasks, since workers load it from there'

/**
 * The grader function that a task names, on a worker.
 * @throws RollcallError `grader-failed` when the bundle has no such function
 */
export async function loadGrader(
  reference: GraderReference,
  from: { readBundle: (key: string) => Promise<Buffer | undefined>; cacheDirectory: string },
): Promise<Grader> {
  const { bundle: key, task, source } = reference
  const bytes = await from.readBundle(key)
  if (bytes === undefined) throw unusable(reference, `the store has no ${key}`)
  const exports = await importBundle({ key, bytes }, from.cacheDirectory).catch((error: Error) => {
    throw unusable(reference, error.message, error)
  })
  const grade = definedTasks(exports).find(({ name }) => name === task)?.grade
  if (grade === undefined) throw unusable(reference, `${source} exports no task of that name with grade`)
  return grade
}

function unusable({ task, source }: GraderReference, why: string, cause?: unknown): RollcallError {
  return new RollcallError('grader-failed', `The grader of task ${task} in ${source} cannot be had: ${why}`, { cause })
}
