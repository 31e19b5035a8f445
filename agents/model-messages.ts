import type { ModelMessage } from 'ai'
import type { AgentInput, AgentTask, Call, CallResult, Turn } from './agent.ts'

/** What a model is told that was cut off by its output limit before it called a tool. */
const goOn = 'Your answer was cut off at the output limit before you called a tool. Go on, in smaller parts.'

export function systemPrompt(task: AgentTask): string {
  return `You solve a task in a Linux sandbox by calling tools. Nobody can answer questions: decide yourself and act.

Commands start in ${task.workdir}. Each command runs in a fresh shell, unless it is called with session: a directory or \
variable set in one call is gone in the next, files stay. Long output is cut in the middle. Commands that wait for input \
or never end are stopped by their timeout; start services in the background with their output redirected.

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
export function conversation(
  { task, transcript }: Pick<AgentInput, 'task' | 'transcript'>,
  images: ReadonlyMap<string, Buffer> = new Map(),
): ModelMessage[] {
  const turns = transcript.flatMap((turn) => [...turnMessages(turn), ...imageMessages(turn, images)])
  const messages: ModelMessage[] = [{ role: 'user', content: task.instruction }, ...turns]
  return messages.map((message, at) =>
    at === messages.length - 1 ? { ...message, providerOptions: keepForNextTurn } : message,
  )
}

/** More are not sent again with every request: the newest count. */
const mostImages = 20

/** The bytes of the images that tools have shown, by key. */
export async function readImages({ transcript, readImage }: AgentInput): Promise<Map<string, Buffer>> {
  const shown = transcript.flatMap(({ results }) => results.flatMap(({ images }) => images ?? []))
  const keys = [...new Set(shown.map(({ key }) => key))].slice(-mostImages)
  const read = await Promise.all(keys.map(async (key) => [key, await readImage?.(key)] as const))
  return new Map(read.flatMap(([key, bytes]) => (bytes === undefined ? [] : [[key, bytes] as const])))
}

/** In a message of their own, since not every service takes images in the result of a tool. */
function imageMessages({ results }: Turn, images: ReadonlyMap<string, Buffer>): ModelMessage[] {
  const shown = results.flatMap((result) => (result.images ?? []).map((image) => ({ ...image, tool: result.tool })))
  if (shown.length === 0) return []
  const parts = shown.map(({ key, mediaType, tool }) => {
    const image = images.get(key)
    if (image === undefined) return { type: 'text' as const, text: `(an image of ${tool}, which is not shown here)` }
    return { type: 'image' as const, image, mediaType }
  })
  return [{ role: 'user', content: [{ type: 'text', text: 'The images of these results, in order:' }, ...parts] }]
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
