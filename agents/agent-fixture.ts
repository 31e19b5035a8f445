import type { AgentInput, AgentTask, CallResult, Decision, Turn } from './agent.ts'

/** For tests: a task as an agent sees it; `texts` are its readable files. */
export function agentTask(texts: Record<string, string> = {}, more: Partial<AgentTask> = {}): AgentTask {
  return {
    name: 'a-task',
    instruction: 'Do it.',
    workdir: '/app',
    files: Object.keys(texts),
    solutionEnv: {},
    readText: (path) => Promise.resolve(texts[path]),
    ...more,
  }
}

/** For tests: what an agent is asked, as the turn loop builds it. */
export function agentInput(more: Partial<AgentInput> = {}): AgentInput {
  const transcript = more.transcript ?? []
  return {
    task: agentTask(),
    transcript,
    state: transcript.at(-1)?.decision.state,
    tools: [
      {
        name: 'bash',
        description: 'Runs a command.',
        parameters: { type: 'object', properties: { command: { type: 'string' } }, required: ['command'] },
      },
      { name: 'submit', description: 'Ends the work.', parameters: { type: 'object', properties: {} } },
    ],
    signal: new AbortController().signal,
    ...more,
  }
}

/** For tests: a turn whose calls came to `outputs`, all of them exit 0. */
export function playedTurn(number: number, decision: Decision, outputs: readonly string[] = []): Turn {
  const calls = 'calls' in decision ? decision.calls : []
  const results = calls.map(({ tool, callId }, at): CallResult => ({
    tool,
    ok: true,
    output: outputs[at] ?? '',
    outcome: 'exited',
    exitCode: 0,
    ...(callId === undefined ? {} : { callId }),
  }))
  return { number, decision, results }
}
