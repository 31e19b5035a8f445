import { createAnthropic } from '@ai-sdk/anthropic'
import { createOpenAI } from '@ai-sdk/openai'
import { createOpenAICompatible } from '@ai-sdk/openai-compatible'
import type { LanguageModel } from 'ai'
import { RollcallError } from '../protocol/failure.ts'
import { parseModelName } from './model-name.ts'
import type { ModelProvider } from './model-name.ts'

type Environment = Readonly<Record<string, string | undefined>>

export interface ModelConnection {
  readonly model: LanguageModel
  /** What one answer may be long where the user says nothing; absent: the service's own limit. */
  readonly maxOutputTokens?: number
  /** Only to be hidden where a service repeats it. */
  readonly apiKey?: string
}

/** Anthropic wants a limit, and the AI SDK sets a very low one for models that it does not know. */
const anthropicOutputTokens = 16_000

interface Endpoint {
  readonly baseURL: string
  readonly apiKey: string | undefined
}

interface ProviderSettings {
  readonly keyVariable: string
  readonly urlVariable: string
  readonly defaultUrl: string | undefined
  /** Local servers often want no key. */
  readonly keyRequired: boolean
}

const settings: Readonly<Record<ModelProvider, ProviderSettings>> = {
  openai: {
    keyVariable: 'OPENAI_API_KEY',
    urlVariable: 'OPENAI_BASE_URL',
    defaultUrl: 'https://api.openai.com/v1',
    keyRequired: true,
  },
  anthropic: {
    keyVariable: 'ANTHROPIC_API_KEY',
    urlVariable: 'ANTHROPIC_BASE_URL',
    defaultUrl: 'https://api.anthropic.com/v1',
    keyRequired: true,
  },
  'openai-compatible': {
    keyVariable: 'OPENAI_COMPATIBLE_API_KEY',
    urlVariable: 'OPENAI_COMPATIBLE_BASE_URL',
    defaultUrl: undefined,
    keyRequired: false,
  },
}

/**
 * The model that `--model` names, with base URL and key from the worker's environment. Sends nothing.
 * @throws RollcallError `configuration-invalid`, `secret-missing`
 */
export function connectModel(
  name: string,
  { env, fetch }: { env: Environment; fetch?: typeof globalThis.fetch },
): ModelConnection {
  const { provider, model } = parseModelName(name)
  const { baseURL, apiKey } = endpointOf(provider, env)
  const requests = fetch === undefined ? {} : { fetch }
  const key = apiKey === undefined ? {} : { apiKey }
  switch (provider) {
    // The chat protocol, since every turn sends the whole conversation and nothing is kept with the service.
    case 'openai':
      return { model: createOpenAI({ baseURL, apiKey: apiKey ?? '', ...requests }).chat(model), ...key }
    case 'anthropic': {
      const anthropic = createAnthropic({ baseURL: withVersionPath(baseURL), apiKey: apiKey ?? '', ...requests })
      return { model: anthropic(model), maxOutputTokens: anthropicOutputTokens, ...key }
    }
    case 'openai-compatible': {
      const service = createOpenAICompatible({ name: 'openai-compatible', baseURL, ...key, ...requests })
      return { model: service(model), ...key }
    }
  }
}

function endpointOf(provider: ModelProvider, env: Environment): Endpoint {
  const { keyVariable, urlVariable, defaultUrl, keyRequired } = settings[provider]
  const apiKey = env[keyVariable] || undefined
  const baseURL = env[urlVariable] || defaultUrl
  if (baseURL === undefined) {
    throw new RollcallError(
      'configuration-invalid',
      `${urlVariable} is missing in the worker's environment: expected the base URL of the service, as http://127.0.0.1:8000/v1`,
    )
  }
  if (!URL.canParse(baseURL)) {
    throw new RollcallError('configuration-invalid', `${urlVariable} is ${JSON.stringify(baseURL)}: expected a URL`)
  }
  if (apiKey === undefined && keyRequired) {
    throw new RollcallError(
      'secret-missing',
      `${keyVariable} is missing in the worker's environment: models of ${provider} need it; set it and start again`,
    )
  }
  return { baseURL, apiKey }
}

/** Anthropic's own tools take the variable without `/v1`, the AI SDK with it: both are right here. */
function withVersionPath(baseURL: string): string {
  const url = new URL(baseURL)
  return url.pathname === '/' ? `${url.origin}/v1` : baseURL
}
