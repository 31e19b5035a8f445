import { RollcallError } from '../protocol/failure.ts'

const modelProviders = ['openai', 'anthropic', 'openai-compatible'] as const
export type ModelProvider = (typeof modelProviders)[number]

/**
 * Whether a model takes images, where the user does not say: those of the two services do, but for their few that read
 * text alone; what another service's does is not known.
 */
export function takesImages(name: string): boolean {
  const { provider, model } = parseModelName(name)
  return (
    provider !== 'openai-compatible' &&
    !/^(gpt-3\.5|gpt-4(-\d{4})?$|o1-mini|o1-preview|o3-mini|claude-2|claude-instant)/.test(model)
  )
}

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
