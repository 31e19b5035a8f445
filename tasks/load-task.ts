import { loadHarborTask } from './harbor-task.ts'
import type { LoadedTask } from './harbor-task.ts'
import { readOwnTaskFile } from './own-task-file.ts'

/** A task directory: Harbor's files, and `rollcall.yaml` where there is one. Everything wrong with it at once. */
export async function loadTask(directory: string, known: { checksum?: string } = {}): Promise<LoadedTask> {
  const [loaded, { own, problems }] = await Promise.all([loadHarborTask(directory, known), readOwnTaskFile(directory)])
  if ('problems' in loaded) return { problems: [...loaded.problems, ...problems] }
  return problems.length > 0 ? { problems } : { task: { ...loaded.task, ...own } }
}
