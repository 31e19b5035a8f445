import { readdir, realpath, stat } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { basename, extname, join, resolve } from 'node:path'
import pLimit from 'p-limit'
import { RollcallError } from '../protocol/failure.ts'
import { layRuntime } from '../protocol/runtime-config.ts'
import type { RuntimeConfig } from '../protocol/runtime-config.ts'
import { loadTask } from './load-task.ts'
import type { LoadedTask } from './harbor-task.ts'
import { describeProblem } from './problems.ts'
import { readRowFile, rowFileExtensions } from './read-rows.ts'
import { readTaskModule } from './task-module.ts'
import type { TaskBundle } from './task-module.ts'
import type { Task } from './task.ts'
import { writeRowTask } from './write-task.ts'
import type { RowTask } from './write-task.ts'

/** Files whose presence says that a folder is meant as a task, also when another one is missing. */
const taskMarks = ['task.toml', 'instruction.md', 'tests', 'solution'] as const

/** In a folder of tasks: other files are passed over. */
const tasksetFile = /^taskset\.(yaml|yml|toml)$/
const tasksFile = /^(.+\.)?tasks\.(jsonl|yaml|yml|ts|mts|js|mjs)$/
const moduleExtensions = ['.ts', '.mts', '.js', '.mjs']

const tasksReadAtOnce = 8

export interface LoadedTaskset {
  readonly name: string
  readonly tasks: readonly Task[]
  /** Below the tasks' own. */
  readonly runtime?: RuntimeConfig
  /** Of grader functions. */
  readonly bundles: readonly TaskBundle[]
}

/** One task to be loaded: a directory, or a row, with where it stands. */
export type TaskSource = { readonly at: string } & ({ readonly directory: string } | { readonly rowTask: RowTask })

export interface Sources {
  readonly name?: string
  readonly runtime?: RuntimeConfig
  readonly bundles: readonly TaskBundle[]
  readonly sources: readonly TaskSource[]
  readonly problems: readonly string[]
}

/**
 * Loads a taskset: a folder of task directories and files of tasks, a single task directory, or a file of tasks (JSONL,
 * YAML, TOML, TypeScript). Directories first, sorted by name; then files by name, their tasks in their own order.
 * Hidden folders and those without any file of a task are passed over.
 * @param options.cacheDirectory where rows become task directories; default: below the system's temporary folder
 * @throws RollcallError `task-invalid` with all problems of all tasks, one line each
 */
export async function loadTaskset(path: string, options: { cacheDirectory?: string } = {}): Promise<LoadedTaskset> {
  const { cacheDirectory = join(tmpdir(), 'rollcall-cache') } = options
  const root = await realpath(path).catch(() => undefined)
  if (root === undefined) throw unusable(path, 'does not exist')
  const found = (await stat(root)).isDirectory()
    ? await folderSources(root, cacheDirectory)
    : await fileSources(root, cacheDirectory)
  if (found === undefined) throw unusable(path, 'is a file of another kind')
  if (found.sources.length === 0 && found.problems.length === 0) throw unusable(path, 'holds no task')
  return await loadSources({ name: basename(root, fileExtension(root)), ...found }, cacheDirectory)
}

/** @throws RollcallError `task-invalid` with all problems of all tasks, one line each */
export async function loadSources(
  found: Sources & { readonly name: string },
  cacheDirectory: string,
): Promise<LoadedTaskset> {
  const { name, runtime, bundles, sources } = found
  const limit = pLimit(tasksReadAtOnce)
  const loaded = await Promise.all(
    sources.map((source) => limit(async () => ({ source, loaded: await loadSource(source, cacheDirectory) }))),
  )
  const lines = [...found.problems, ...loaded.flatMap(problemLines), ...duplicateLines(sources)]
  if (lines.length > 0) throw new RollcallError('task-invalid', lines.join('\n'))
  const tasks = loaded.flatMap(({ loaded: one }) => ('task' in one ? [one.task] : []))
  return { name, tasks, bundles, ...(runtime === undefined ? {} : { runtime }) }
}

function loadSource(source: TaskSource, cacheDirectory: string): Promise<LoadedTask> {
  return 'directory' in source ? loadTask(source.directory) : writeRowTask(source.rowTask, cacheDirectory)
}

function problemLines({ source, loaded }: { source: TaskSource; loaded: LoadedTask }): string[] {
  if ('task' in loaded) return []
  return loaded.problems.map((problem) => `${source.at}: ${describeProblem(problem)}`)
}

async function folderSources(root: string, cacheDirectory: string): Promise<Sources> {
  const names = (await readdir(root)).toSorted()
  if (names.includes('task.toml') || names.includes('instruction.md')) {
    return { sources: [directorySource(root)], bundles: [], problems: [] }
  }
  const folders = names.filter((name) => !name.startsWith('.')).map((name) => join(root, name))
  const marked = await Promise.all(folders.map(looksLikeTask))
  const files = [...names.filter((name) => tasksetFile.test(name)), ...names.filter((name) => tasksFile.test(name))]
  const read = await Promise.all(files.map((name) => fileSources(join(root, name), cacheDirectory)))
  const directories = { sources: folders.filter((_, at) => marked[at]).map(directorySource), bundles: [], problems: [] }
  return joined([directories, ...read.filter((one) => one !== undefined)])
}

/** The first name counts, runtimes are laid one over the other in the order of the files. */
function joined(all: readonly Sources[]): Sources {
  const name = all.find((one) => one.name !== undefined)?.name
  const runtimes = all.flatMap(({ runtime }) => runtime ?? [])
  return {
    ...(name === undefined ? {} : { name }),
    ...(runtimes.length === 0 ? {} : { runtime: runtimes.reduce(layRuntime, {}) }),
    sources: all.flatMap(({ sources }) => sources),
    bundles: all.flatMap(({ bundles }) => bundles),
    problems: all.flatMap(({ problems }) => problems),
  }
}

function directorySource(directory: string): TaskSource {
  return { at: `task ${basename(directory)}`, directory }
}

async function fileSources(path: string, cacheDirectory: string): Promise<Sources | undefined> {
  if (moduleExtensions.includes(extname(path))) {
    const { tasks, bundle, problems } = await readTaskModule(path, cacheDirectory)
    return { sources: rowSources(tasks), bundles: bundle === undefined ? [] : [bundle], problems }
  }
  if (fileExtension(path) === '') return undefined
  const { rows, ...file } = await readRowFile(path)
  const directory = resolve(path, '..')
  return { ...file, sources: rowSources(rows.map(({ row, at }) => ({ row, at, directory }))), bundles: [] }
}

export function rowSources(tasks: readonly (RowTask & { readonly at: string })[]): TaskSource[] {
  return tasks.map(({ at, ...rowTask }) => ({ at, rowTask }))
}

function fileExtension(path: string): string {
  return [...rowFileExtensions, ...moduleExtensions].find((extension) => path.endsWith(extension)) ?? ''
}

async function looksLikeTask(directory: string): Promise<boolean> {
  const names: readonly string[] = await readdir(directory).catch(() => [])
  return taskMarks.some((mark) => names.includes(mark)) && (await stat(directory)).isDirectory()
}

/** Names that differ only in case: they would meet in sandbox names and on some file systems. */
function duplicateLines(sources: readonly TaskSource[]): string[] {
  const named = sources.map((source) => ({ name: nameOf(source), at: source.at }))
  const groups = Map.groupBy(named, ({ name }) => name.toLowerCase())
  return [...groups.values()]
    .filter((group) => group.length > 1)
    .map(([first, ...others]) => {
      const used = others.map(({ name, at }) => `${JSON.stringify(name)} (${at})`).join(', ')
      const expected = `expected a name that is not also used as ${used} (upper and lower case count as the same)`
      return `${first?.at}: name is ${JSON.stringify(first?.name)}: ${expected}`
    })
}

function nameOf(source: TaskSource): string {
  return 'directory' in source ? basename(source.directory) : source.rowTask.row.name
}

function unusable(path: string, fault: string): RollcallError {
  const expected = 'expected a directory of tasks, one task directory, or a file of tasks (.jsonl, .yaml, .toml, .ts)'
  return new RollcallError('task-invalid', `Taskset ${JSON.stringify(resolve(path))} ${fault}: ${expected}`)
}
