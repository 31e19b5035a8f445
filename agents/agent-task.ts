import { readFile } from 'node:fs/promises'
import { join } from 'node:path'
import type { Task } from '../tasks/task.ts'
import type { AgentTask } from './agent.ts'

/** What an agent may know of a task; `timeoutMs` is the time of the whole agent phase. */
export function describeTask(task: Task, known: { workdir: string; timeoutMs?: number }): AgentTask {
  return {
    name: task.name,
    instruction: task.instruction,
    workdir: known.workdir,
    ...(known.timeoutMs === undefined ? {} : { timeoutMs: known.timeoutMs }),
    files: task.files,
    solutionEnv: task.solution.env,
    readText: async (path) => (task.files.includes(path) ? readFile(join(task.directory, path), 'utf8') : undefined),
  }
}
