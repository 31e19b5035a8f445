import { readdir, realpath, stat } from 'node:fs/promises'
import { basename, join, resolve } from 'node:path'
import pLimit from 'p-limit'
import { RollcallError } from '../protocol/failure.ts'
import type { Problem } from '../providers/contract/provider.ts'
import { loadHarborTask } from './harbor-task.ts'
import { describeProblem } from './problems.ts'
import type { Task } from './task.ts'

/** Files whose presence says that a folder is meant as a task, also when another one is missing. */
const taskMarks = ['task.toml', 'instruction.md', 'tests', 'solution'] as const

const tasksReadAtOnce = 8

/**
 * Loads a folder of Harbor task directories, or a single task directory; tasks sorted by name. Hidden folders and those
 * without any file of a task are passed over.
 * @throws RollcallError `task-invalid` with all problems of all tasks, one line each
 */
export async function loadTaskset(path: string): Promise<{ name: string; tasks: Task[] }> {
  const root = await realpath(path).catch(() => undefined)
  if (root === undefined) throw unusable(path, 'does not exist')
  const directories = await taskDirectories(root)
  if (directories === undefined) throw unusable(path, 'is not a directory')
  if (directories.length === 0) throw unusable(path, 'holds no task')
  const limit = pLimit(tasksReadAtOnce)
  const loaded = await Promise.all(directories.map((directory) => limit(() => loadOne(directory))))
  const lines = [...loaded.flatMap(problemLines), ...duplicateLines(directories)]
  if (lines.length > 0) throw new RollcallError('task-invalid', lines.join('\n'))
  return { name: basename(root), tasks: loaded.flatMap((one) => ('task' in one ? [one.task] : [])) }
}

async function loadOne(directory: string): Promise<{ task: Task } | { name: string; problems: readonly Problem[] }> {
  const loaded = await loadHarborTask(directory)
  return 'task' in loaded ? loaded : { name: basename(directory), problems: loaded.problems }
}

function problemLines(loaded: { task: Task } | { name: string; problems: readonly Problem[] }): string[] {
  if ('task' in loaded) return []
  return loaded.problems.map((problem) => `task ${loaded.name}: ${describeProblem(problem)}`)
}

async function taskDirectories(root: string): Promise<string[] | undefined> {
  const names = await readdir(root).catch(() => undefined)
  if (!names) return undefined
  if (names.includes('task.toml') || names.includes('instruction.md')) return [root]
  const folders = names.filter((name) => !name.startsWith('.')).map((name) => join(root, name))
  const marked = await Promise.all(folders.map(looksLikeTask))
  return folders.filter((_, at) => marked[at]).toSorted()
}

async function looksLikeTask(directory: string): Promise<boolean> {
  const names: readonly string[] = await readdir(directory).catch(() => [])
  return taskMarks.some((mark) => names.includes(mark)) && (await stat(directory)).isDirectory()
}

/** Names that differ only in case: they would meet in sandbox names and on some file systems. */
function duplicateLines(directories: readonly string[]): string[] {
  const groups = Map.groupBy(
    directories.map((directory) => basename(directory)),
    (name) => name.toLowerCase(),
  )
  return [...groups.values()]
    .filter((names) => names.length > 1)
    .map(
      (names) =>
        `task ${names[0]}: directory name is ${JSON.stringify(names[0])}: expected a name that is not ` +
        `also used as ${names
          .slice(1)
          .map((name) => JSON.stringify(name))
          .join(', ')} (upper and lower case count as the same)`,
    )
}

function unusable(path: string, fault: string): RollcallError {
  const expected = 'expected a directory of Harbor task directories, or one task directory'
  return new RollcallError('task-invalid', `Taskset ${JSON.stringify(resolve(path))} ${fault}: ${expected}`)
}
