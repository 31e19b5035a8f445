import type { Problem } from '../providers/contract/provider.ts'
import { loadHarborTask } from './harbor-task.ts'
import type { LoadedTask } from './harbor-task.ts'
import { ownTaskFile, readOwnTaskFile } from './own-task-file.ts'
import { partsOf } from './task-parts.ts'
import type { Task } from './task.ts'

/** A task directory: Harbor's files, and `rollcall.yaml` where there is one. Everything wrong with it at once. */
export async function loadTask(directory: string, known: { checksum?: string } = {}): Promise<LoadedTask> {
  const { own, problems } = await readOwnTaskFile(directory)
  const loaded = await loadHarborTask(directory, { ...known, isJudged: own.judge !== undefined })
  if ('problems' in loaded) return { problems: [...loaded.problems, ...problems] }
  const task = { ...loaded.task, ...own }
  const all = [...problems, ...judgeProblems(task)]
  return all.length > 0 ? { problems: all } : { task }
}

/** A judge reads what the agent left where the agent left it. */
function judgeProblems(task: Task): Problem[] {
  const isSeparate = partsOf(task).some(({ verifier }) => verifier.mode === 'separate')
  if (task.judge === undefined || !isSeparate) return []
  const expected = 'none where [verifier] environment_mode is separate: a judge needs no sandbox; leave one of them out'
  return [{ field: `${ownTaskFile}: judge`, value: 'present', expected }]
}
