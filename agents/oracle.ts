import type { Agent, AgentTask, Decision } from './agent.ts'
import { playTurn, taskTurnsPath, turnsOf } from './script.ts'
import { exportLines, longestCallMs } from './shell.ts'

const solveScript = 'solution/solve.sh'

/**
 * Runs the task's own solution, as Harbor's oracle does: `solution/` is put at `/solution` and `solve.sh` started
 * through bash by its shebang. A solution that fails is still graded. A task without `solve.sh` may bring the turns of
 * its solution in `solution/turns.yaml`.
 */
export function createOracleAgent(): Agent {
  return {
    name: 'oracle',
    takesSolutionEnv: true,
    check: async (task) => checkSolution(task),
    uploads: (task) =>
      task.files.some((path) => path.startsWith('solution/')) ? [{ from: 'solution', to: '/solution' }] : [],
    async next(input) {
      const { task, transcript } = input
      if (!task.files.includes(solveScript)) return playTurn(await turnsOf(task), input)
      const exitCode = transcript[0]?.results[0]?.exitCode
      return transcript.length === 0 ? runSolution(task) : { done: true, reason: `solve.sh exited with ${exitCode}` }
    },
  }
}

function runSolution(task: AgentTask): Decision {
  const env = { DEBIAN_FRONTEND: 'noninteractive', ...task.solutionEnv }
  const command = `${exportLines(env)}/solution/solve.sh`
  return { calls: [{ tool: 'bash', args: { command }, timeoutMs: task.timeoutMs ?? longestCallMs }] }
}

async function checkSolution(task: AgentTask): Promise<readonly string[]> {
  if (task.files.includes(solveScript)) return []
  if (!task.files.includes(taskTurnsPath)) {
    const at = task.step === undefined ? '' : `steps/${task.step}/`
    return [`Task ${task.name} has no solution: the oracle needs ${at}${solveScript} or ${at}${taskTurnsPath}`]
  }
  return turnsOf(task).then(
    () => [],
    (error: Error) => [error.message],
  )
}
