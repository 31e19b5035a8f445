import { RollcallError } from '../protocol/failure.ts'

const modelProviders = ['openai', 'anthropic', 'openai-compatible'] as const
export type ModelProvider = (typeof modelProviders)[number]

/** Splits `openai/gpt-…`. @throws RollcallError `configuration-invalid` */
export function parseModelName(name: string): { provider: ModelProvider; model: string } {
  const [head, ...rest] = name.split('/')
  const provider = modelProviders.find((known) => known === head)
  const model = rest.join('/')
  if (provider !== undefined && model !== '') return { provider, model }
  throw new RollcallError(
    'configuration-invalid',
    `--model is ${JSON.stringify(name)}: expected ${modelProviders.map((known) => `${known}/<model>`).join(', ')}`,
  )
}
