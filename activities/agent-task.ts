import { readFile } from 'node:fs/promises'
import { join, posix } from 'node:path'
import type { AgentTask } from '../agents/agent.ts'
import { splitEnv } from '../tasks/host-templates.ts'
import { partOf } from '../tasks/task-parts.ts'
import type { Task } from '../tasks/task.ts'

/**
 * What an agent may know of its task, or of one step of it: a step's files stand in the place of the task's own, so that
 * an agent need not know of steps.
 * @param at.timeoutMs of the agent's phase, as this job has it
 */
export function agentTask(
  task: Task,
  at: { readonly workdir: string; readonly step?: number | undefined; readonly timeoutMs?: number | undefined },
): AgentTask {
  const part = partOf(task, at.step)
  const files = partFiles(task.files, part.folder)
  return {
    name: task.name,
    ...(part.step === undefined ? {} : { step: part.step }),
    instruction: part.instruction,
    workdir: at.workdir,
    ...(at.timeoutMs === undefined ? {} : { timeoutMs: at.timeoutMs }),
    files: [...files.keys()],
    solutionEnv: splitEnv(task.solution.env).plain,
    ...(task.skillsDirectory === undefined ? {} : { skillsDirectory: posix.resolve(at.workdir, task.skillsDirectory) }),
    readText: async (path) => {
      const found = files.get(path)
      return found === undefined ? undefined : await readFile(join(task.directory, found), 'utf8')
    },
  }
}

/** A folder that an agent asks for, as the task has it. */
export function partFolder(task: Task, step: number | undefined, folder: string): string {
  const { folder: own } = partOf(task, step)
  return own !== '' && task.files.some((path) => path.startsWith(`${own}${folder}`)) ? `${own}${folder}` : folder
}

/** Paths by the names that the agent knows. Of the task's own solution a step sees nothing. */
function partFiles(files: readonly string[], folder: string): Map<string, string> {
  if (folder === '') return new Map(files.map((path) => [path, path]))
  const shared = files.filter((path) => !path.startsWith('steps/') && !path.startsWith('solution/'))
  const own = files.filter((path) => path.startsWith(folder))
  return new Map([...shared, ...own].map((path) => [path.startsWith(folder) ? path.slice(folder.length) : path, path]))
}
