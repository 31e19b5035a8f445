import { generateText, jsonSchema } from 'ai'
import type { LanguageModel } from 'ai'
import { z } from 'zod'
import { RollcallError } from '../protocol/failure.ts'
import type { Agent, AgentInput, Call, Decision, JsonValue, ToolDescription } from './agent.ts'
import { parseModelArguments } from './model-arguments.ts'
import type { ModelArguments } from './model-arguments.ts'
import type { ModelConnection } from './model-connection.ts'
import { modelError } from './model-errors.ts'
import { takesImages } from './model-name.ts'
import { conversation, readImages, systemPrompt } from './model-messages.ts'
import { usageOf } from './model-usage.ts'

/**
 * A model that works by calling tools: one request per turn, never repeated here, since the turn loop knows what is
 * recorded. Done when the model calls no tool or has called `submit`.
 */
export function createModelAgent(
  { model, apiKey, ...defaults }: ModelConnection,
  { name, args }: { name: string; args: Readonly<Record<string, string>> },
): Agent {
  const { images = takesImages(name), ...settings } = { ...defaults, ...parseModelArguments(args) }
  return {
    name: 'model',
    version: name,
    ...(images ? {} : { blind: `Model ${name}` }),
    async next(input) {
      if (input.transcript.at(-1)?.results.some((result) => result.submitted)) {
        return { done: true, reason: 'submitted' }
      }
      return decisionOf(await ask({ model, apiKey, name, settings, input, images }), name)
    },
  }
}

type Answer = Awaited<ReturnType<typeof request>>

interface Question {
  readonly model: LanguageModel
  readonly apiKey: string | undefined
  readonly name: string
  readonly settings: ModelArguments
  /** Whether the model takes images. */
  readonly images: boolean
  readonly input: AgentInput
}

async function ask(question: Question): Promise<Answer> {
  try {
    return await request(question)
  } catch (error) {
    if (question.input.signal.aborted) throw question.input.signal.reason
    throw modelError(error, { name: question.name, apiKey: question.apiKey })
  }
}

async function request({ model, settings, input, images }: Question) {
  const { system, ...limits } = settings
  const seen = images ? await readImages(input) : new Map<string, Buffer>()
  return generateText({
    model,
    maxRetries: 0,
    instructions: system ?? systemPrompt(input.task),
    messages: conversation(input, seen),
    tools: Object.fromEntries(input.tools.map((description) => [description.name, toolOf(description)])),
    abortSignal: input.signal,
    ...limits,
  })
}

/** Without `execute` the SDK hands the calls back instead of making them. */
function toolOf({ description, parameters }: ToolDescription) {
  return { description, inputSchema: jsonSchema<never>(parameters) }
}

function decisionOf(answer: Answer, name: string): Decision {
  const said = { ...(answer.text === '' ? {} : { message: answer.text }), usage: usageOf(answer.usage) }
  if (isBrokenOff(answer)) {
    throw new RollcallError('model-unavailable', `Model ${name} broke off its answer (${answer.rawFinishReason})`)
  }
  if (answer.toolCalls.length > 0) return { ...said, calls: answer.toolCalls.map(callOf), mode: 'sequence' }
  // Cut off at the output limit is not done: an empty turn asks it to go on.
  if (answer.finishReason === 'length') return { ...said, calls: [] }
  return { ...said, done: true, reason: `the model ended with ${answer.finishReason}` }
}

/** Services also say so inside an answer that is a success by its status. */
function isBrokenOff({ finishReason, text, toolCalls }: Answer): boolean {
  const saysNothing = text === '' && toolCalls.length === 0
  return finishReason === 'error' || (finishReason === 'other' && saysNothing)
}

const callArguments = z.record(z.string(), z.json())

/** Arguments that are no object become one that the tool refuses, so that the model reads why. */
function callOf(call: { toolName: string; toolCallId: string; input: unknown }): Call {
  const parsed = callArguments.safeParse(call.input)
  const args: Record<string, JsonValue> = parsed.success ? parsed.data : { 'not an object': String(call.input) }
  return { tool: call.toolName, args, callId: call.toolCallId }
}
