import { z } from 'zod'
import { RollcallError } from '../protocol/failure.ts'

/** What `--agent-arg` may set for the model agent. */
const modelArguments = z.strictObject({
  system: z.string().optional(),
  temperature: z.coerce.number().min(0).max(2).optional(),
  images: z.enum(['true', 'false']).optional(),
  'max-output-tokens': z.coerce.number().int().positive().optional(),
})

export interface ModelArguments {
  /** Replaces the whole system prompt. */
  readonly system?: string
  readonly temperature?: number
  readonly maxOutputTokens?: number
  /** Whether the model takes images. Default: by its name. */
  readonly images?: boolean
}

/** @throws RollcallError `configuration-invalid` with every problem in one sentence */
export function parseModelArguments(args: Readonly<Record<string, string>>): ModelArguments {
  const parsed = modelArguments.safeParse(args)
  if (!parsed.success) {
    const problems = parsed.error.issues.map((issue) => `${issue.path.join('.') || 'arguments'}: ${issue.message}`)
    throw new RollcallError('configuration-invalid', `--agent-arg of agent model is wrong: ${problems.join('; ')}`)
  }
  const { system, temperature, images, 'max-output-tokens': maxOutputTokens } = parsed.data
  return {
    ...(system === undefined ? {} : { system }),
    ...(temperature === undefined ? {} : { temperature }),
    ...(images === undefined ? {} : { images: images === 'true' }),
    ...(maxOutputTokens === undefined ? {} : { maxOutputTokens }),
  }
}
