import type { LanguageModelUsage } from 'ai'
import type { Usage } from './agent.ts'

/** What a service says about one answer; what it does not say is absent. */
export function usageOf({ inputTokens, outputTokens, inputTokenDetails }: LanguageModelUsage): Usage {
  const { cacheReadTokens } = inputTokenDetails
  return {
    ...(inputTokens === undefined ? {} : { inputTokens }),
    ...(outputTokens === undefined ? {} : { outputTokens }),
    ...(cacheReadTokens === undefined ? {} : { cachedInputTokens: cacheReadTokens }),
  }
}
