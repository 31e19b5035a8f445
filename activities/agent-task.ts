import { readFile } from 'node:fs/promises'
import { join } from 'node:path'
import type { AgentTask } from '../agents/agent.ts'
import { splitEnv } from '../tasks/host-templates.ts'
import type { Task } from '../tasks/task.ts'

/** What an agent may know of its task. */
export function agentTask(task: Task, workdir: string): AgentTask {
  return {
    name: task.name,
    instruction: task.instruction,
    workdir,
    ...(task.agent.timeoutMs === undefined ? {} : { timeoutMs: task.agent.timeoutMs }),
    files: task.files,
    solutionEnv: splitEnv(task.solution.env).plain,
    readText: async (path) =>
      task.files.includes(path) ? await readFile(join(task.directory, path), 'utf8') : undefined,
  }
}
