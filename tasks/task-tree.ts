import { basename } from 'node:path'
import { buffer } from 'node:stream/consumers'
import { RollcallError } from '../protocol/failure.ts'
import { listTaskFiles } from './task-files.ts'
import { entriesBelow } from './task-hash.ts'
import { packEntries } from './task-tar.ts'
import type { Task } from './task.ts'

/**
 * One folder of a task (`tests`, `solution`, `environment/data`) as a tar whose names are relative to it, for an upload
 * into a sandbox; a single file becomes a tar with that file. Executable files stay so, and scripts are made so.
 * @throws RollcallError `task-invalid` where the task has no such folder or file
 */
export async function packTree(task: Pick<Task, 'name' | 'directory'>, folder: string): Promise<Buffer> {
  const { files } = await listTaskFiles(task.directory)
  const single = files.find(({ path, type }) => path === folder && type !== 'directory')
  const entries = single ? [{ file: single, name: basename(folder) }] : entriesBelow(files, folder)
  if (entries.length === 0 && !files.some(({ path }) => path === folder)) {
    throw new RollcallError(
      'task-invalid',
      `Task ${task.name} has no ${JSON.stringify(folder)}: expected a folder or file of the task directory`,
    )
  }
  const executable = entries.map((entry) => ({ ...entry, scriptsExecutable: true }))
  return buffer(packEntries(task.directory, executable))
}
