import type { ModelMessage } from 'ai'
import type { AgentInput, AgentTask, Call, CallResult, Turn } from './agent.ts'

/** What a model is told that was cut off by its output limit before it called a tool. */
const goOn = 'Your answer was cut off at the output limit before you called a tool. Go on, in smaller parts.'

export function systemPrompt(task: AgentTask): string {
  return `You solve a task in a Linux sandbox by calling tools. Nobody can answer questions: decide yourself and act.

Commands start in ${task.workdir}. Each command runs in a fresh shell: a directory or variable set in one call is gone \
in the next, files stay. Long output is cut in the middle. Commands that wait for input or never end are stopped by \
their timeout; start services in the background with their output redirected.

Your work is judged by tests that look at the sandbox after you have finished, so what you say counts for nothing and \
what you leave behind counts. Check your result before you finish. Finish by calling submit, if it is offered, or by \
answering without a tool call.${skillsHint(task)}`
}

function skillsHint({ skillsDirectory }: AgentTask): string {
  if (skillsDirectory === undefined) return ''
  return `

The folder ${skillsDirectory} holds skills that may help: a folder each, with a SKILL.md that says when and how.`
}

/** Asks Anthropic to keep what it has read up to here: the next turn sends it again. Other services do so unasked. */
const keepForNextTurn = { anthropic: { cacheControl: { type: 'ephemeral' } } }

/** The conversation so far, rebuilt from the transcript: the same turns always give the same messages. */
export function conversation({ task, transcript }: Pick<AgentInput, 'task' | 'transcript'>): ModelMessage[] {
  const messages: ModelMessage[] = [{ role: 'user', content: task.instruction }, ...transcript.flatMap(turnMessages)]
  return messages.map((message, at) =>
    at === messages.length - 1 ? { ...message, providerOptions: keepForNextTurn } : message,
  )
}

function turnMessages(turn: Turn): ModelMessage[] {
  const { decision, results } = turn
  const text = decision.message ? [{ type: 'text' as const, text: decision.message }] : []
  const calls = 'calls' in decision ? decision.calls : []
  if (calls.length === 0) {
    return [
      ...(text.length > 0 ? [{ role: 'assistant' as const, content: text }] : []),
      { role: 'user', content: goOn },
    ]
  }
  return [
    { role: 'assistant', content: [...text, ...calls.map((call, at) => toolCall(call, callId(turn, at)))] },
    { role: 'tool', content: calls.map((call, at) => toolResult(call, results[at], callId(turn, at))) },
  ]
}

function toolCall(call: Call, toolCallId: string) {
  return { type: 'tool-call' as const, toolCallId, toolName: call.tool, input: call.args }
}

function toolResult(call: Call, result: CallResult | undefined, toolCallId: string) {
  const value = result?.output ?? 'This call was not made.'
  return {
    type: 'tool-result' as const,
    toolCallId,
    toolName: call.tool,
    output: { type: 'text' as const, value: value === '' ? '(no output)' : value },
  }
}

/** Services that send no ids get derived ones. */
function callId(turn: Turn, at: number): string {
  const call = 'calls' in turn.decision ? turn.decision.calls[at] : undefined
  return call?.callId ?? `call-${turn.number}-${at}`
}
