import { randomUUID } from 'node:crypto'
import { cp, mkdir, rename, rm, stat } from 'node:fs/promises'
import { basename, join } from 'node:path'
import { RollcallError } from '../protocol/failure.ts'
import { loadTask } from './load-task.ts'
import { describeProblem } from './problems.ts'
import { copyFolder, ignoreTaken } from './task-copy-folder.ts'
import type { Task } from './task.ts'
import { partsOf } from './task-parts.ts'

/**
 * A copy of a task with other tests: those of `DIR/<task>/tests` (and `DIR/<task>/steps/<step>/tests`), else those that
 * lie in DIR itself. Made twice, it is the same directory of the cache.
 * @returns undefined where DIR has no tests for the task
 * @throws RollcallError `task-invalid` where they make the task invalid; `configuration-invalid` for a task that is not
 *   graded by tests of its own
 */
export async function replaceTests(
  task: Task,
  { directory, cacheDirectory }: { directory: string; cacheDirectory: string },
): Promise<Task | undefined> {
  const folders = await testFoldersFor(task, directory)
  if (folders.length === 0) return undefined
  assertTested(task)
  const temporary = join(cacheDirectory, 'tasks', `new-${randomUUID()}`)
  const written = join(temporary, basename(task.directory))
  try {
    await mkdir(temporary, { recursive: true })
    await cp(task.directory, written, { recursive: true, verbatimSymlinks: true })
    for (const { from, to } of folders) {
      await rm(join(written, to), { recursive: true, force: true })
      await cp(from, join(written, to), { recursive: true, verbatimSymlinks: true })
    }
    const { checksum } = await loaded(task.name, written)
    await rename(temporary, copyFolder(cacheDirectory, checksum)).catch(ignoreTaken)
    const copy = join(copyFolder(cacheDirectory, checksum), basename(task.directory))
    return { ...(await loaded(task.name, copy, checksum)), name: task.name }
  } finally {
    await rm(temporary, { recursive: true, force: true })
  }
}

async function testFoldersFor(task: Task, directory: string): Promise<{ from: string; to: string }[]> {
  const own = partsOf(task).map(({ folder }) => `${folder}tests`)
  const wanted = [...new Set(['tests', ...own])].map((to) => ({ from: join(directory, task.name, to), to }))
  const found = await Promise.all(wanted.map(({ from }) => isFolder(from)))
  const ofTask = wanted.filter((_, index) => found[index])
  if (ofTask.length > 0) return ofTask
  return (await isFile(join(directory, 'test.sh'))) ? [{ from: directory, to: 'tests' }] : []
}

function assertTested(task: Task): void {
  const image = partsOf(task).find(({ verifier }) => verifier.runtime?.image.type === 'name')
  const [what, how] =
    task.judge !== undefined
      ? ['a judge', 'its rollcall.yaml']
      : task.grader !== undefined
        ? ['a function', task.grader.source]
        : ['tests in the image of its verifier', 'that image']
  if (task.judge === undefined && task.grader === undefined && image === undefined) return
  throw new RollcallError(
    'configuration-invalid',
    `--tests has tests for task ${task.name}, which is graded by ${what}: change ${how} and run the task again`,
  )
}

async function loaded(name: string, directory: string, checksum?: string): Promise<Task> {
  const result = await loadTask(directory, checksum === undefined ? {} : { checksum })
  if ('task' in result) return result.task
  const problems = result.problems.map(describeProblem).join('; ')
  throw new RollcallError('task-invalid', `Task ${name} with the tests of --tests: ${problems}`)
}

async function isFolder(path: string): Promise<boolean> {
  return (await stat(path).catch(() => undefined))?.isDirectory() ?? false
}

async function isFile(path: string): Promise<boolean> {
  return (await stat(path).catch(() => undefined))?.isFile() ?? false
}
