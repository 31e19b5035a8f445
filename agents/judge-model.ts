import { generateText, jsonSchema, NoObjectGeneratedError, Output } from 'ai'
import type { LanguageModelUsage } from 'ai'
import { RollcallError } from '../protocol/failure.ts'
import type { Usage } from './agent.ts'
import type { ModelConnection } from './model-connection.ts'
import { modelError } from './model-errors.ts'
import { usageOf } from './model-usage.ts'

/** What a judge is asked. */
export interface JudgeQuestion {
  readonly instructions: string
  readonly prompt: string
  /** JSON Schema of the answer; what a service makes of it differs, so whoever reads the answer checks it. */
  readonly schema: Readonly<Record<string, unknown>>
}

export interface JudgeAnswer {
  /** JSON, if the model has done what it was asked. */
  readonly text: string
  readonly usage: Usage
}

/** A model that grades. */
export interface JudgeModel {
  /**
   * One request, never repeated here: who asks knows what is recorded.
   * @throws RollcallError `model-unavailable` (ask again later), `model-rejected`
   */
  ask(question: JudgeQuestion, signal: AbortSignal): Promise<JudgeAnswer>
}

export function createJudgeModel(connection: ModelConnection, name: string): JudgeModel {
  return {
    async ask(question, signal) {
      try {
        return await request(connection, name, { ...question, signal })
      } catch (error) {
        if (signal.aborted) throw signal.reason
        // An answer that is no JSON is an answer all the same: whoever asked says what is wrong with it.
        if (NoObjectGeneratedError.isInstance(error)) return answerOf(error.text, error.usage)
        throw modelError(error, { name, apiKey: connection.apiKey })
      }
    },
  }
}

async function request(
  { model, maxOutputTokens }: ModelConnection,
  name: string,
  { instructions, prompt, schema, signal }: JudgeQuestion & { signal: AbortSignal },
): Promise<JudgeAnswer> {
  const answer = await generateText({
    model,
    maxRetries: 0,
    instructions,
    prompt,
    output: Output.object({ schema: jsonSchema(schema), name: 'verdict' }),
    abortSignal: signal,
    ...(maxOutputTokens === undefined ? {} : { maxOutputTokens }),
  })
  if (answer.finishReason === 'error') {
    throw new RollcallError('model-unavailable', `Model ${name} broke off its answer (${answer.rawFinishReason})`)
  }
  return answerOf(answer.text, answer.usage)
}

function answerOf(text: string | undefined, usage: LanguageModelUsage | undefined): JudgeAnswer {
  return { text: text ?? '', usage: usage === undefined ? {} : usageOf(usage) }
}
