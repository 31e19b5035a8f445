import { RollcallError } from '../protocol/failure.ts'
import type { Agent, AgentInput, AgentTask, Decision } from './agent.ts'
import { parseTurns } from './script-turns.ts'

/** Where a task may bring turns of its own. */
export const taskTurnsPath = 'solution/turns.yaml'

/**
 * Plays turns that are written down in YAML, one per `next`, then is done. `file` is the content given with the job;
 * without it every task must bring `solution/turns.yaml`.
 */
export function createScriptAgent({ file }: { file?: string }): Agent {
  const given = file === undefined ? undefined : parseTurns(file, '--agent-arg file')
  return {
    name: 'script',
    async check(task) {
      if (given) return []
      return turnsOf(task).then(
        () => [],
        (error: Error) => [error.message],
      )
    },
    next: async (input) => playTurn(given ?? (await turnsOf(input.task)), input),
  }
}

/** The turn that comes after those of the transcript. */
export function playTurn(turns: readonly Decision[], { transcript }: AgentInput): Decision {
  return turns[transcript.length] ?? { done: true, reason: 'all turns are played' }
}

/** @throws RollcallError `agent-invalid` where the task has no turns or they cannot be read */
export async function turnsOf(task: AgentTask): Promise<Decision[]> {
  const yaml = await task.readText(taskTurnsPath)
  if (yaml !== undefined) return parseTurns(yaml, `${task.name}/${taskTurnsPath}`)
  throw new RollcallError(
    'agent-invalid',
    `Agent script has no turns for task ${task.name}: expected --agent-arg file=turns.yaml or ${taskTurnsPath} in the task`,
  )
}
