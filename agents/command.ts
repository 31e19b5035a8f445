import type { Agent, AgentTask, Decision } from './agent.ts'
import { exportLines, longestCallMs } from './shell.ts'

const instructionFile = '/logs/agent/instruction.md'

/** Above this a variable may be too long for exec: the kernel takes at most 128 KiB per string. */
const longestVariableBytes = 100_000

/**
 * Any program in the sandbox as the agent: one call for as long as the agent phase may last. The instruction is in
 * `$ROLLCALL_INSTRUCTION_FILE` and, unless it is longer than 100 kB, in `$ROLLCALL_INSTRUCTION`; the folder of the task's
 * skills, where it has one, in `$ROLLCALL_SKILLS_DIR`. How the program ends
 * is recorded; the task is graded in any case.
 */
export function createCommandAgent({ command, install }: { command: string; install?: string }): Agent {
  return {
    name: 'command',
    ...(install === undefined ? {} : { layerScript: install }),
    async next({ task, transcript }) {
      if (transcript.length === 0) return startCommand(task, command)
      const result = transcript[0]?.results[1]
      return {
        done: true,
        reason: `the command ${result?.outcome ?? 'was not started'} ${result?.exitCode ?? ''}`.trim(),
      }
    },
  }
}

function startCommand(task: AgentTask, command: string): Decision {
  const skills = task.skillsDirectory === undefined ? '' : exportLines({ ROLLCALL_SKILLS_DIR: task.skillsDirectory })
  const script = `${skills}export ROLLCALL_INSTRUCTION_FILE=${instructionFile}
if [ "$(wc -c < ${instructionFile})" -le ${longestVariableBytes} ]; then
  ROLLCALL_INSTRUCTION=$(cat ${instructionFile})
  export ROLLCALL_INSTRUCTION
fi
${command}`
  return {
    stopOnError: true,
    calls: [
      { tool: 'write_file', args: { path: instructionFile, content: task.instruction } },
      { tool: 'bash', args: { command: script }, timeoutMs: task.timeoutMs ?? longestCallMs },
    ],
  }
}
