import { z } from 'zod'
import type { Decision } from './agent.ts'

const tokens = z.int().min(0).optional()
const dollars = z.number().min(0).optional()

const call = z.strictObject({
  tool: z.string().min(1),
  args: z.record(z.string(), z.json()),
  timeoutMs: z.number().positive().optional(),
  callId: z.string().optional(),
})

const said = {
  message: z.string().optional(),
  usage: z
    .strictObject({
      inputTokens: tokens,
      outputTokens: tokens,
      cachedInputTokens: tokens,
      costUsd: dollars,
      unrecordedCalls: tokens,
    })
    .optional(),
  state: z.json().optional(),
}

const decision = z.union([
  z.strictObject({ ...said, done: z.literal(true), reason: z.string().optional() }),
  z.strictObject({
    ...said,
    calls: z.array(call),
    mode: z.enum(['sequence', 'parallel']).optional(),
    stopOnError: z.boolean().optional(),
  }),
])

/** Checks what code from outside answers. Fields that are `undefined` count as absent. */
export function parseDecision(answer: unknown): { decision: Decision } | { problem: string } {
  const parsed = decision.safeParse(answer)
  if (!parsed.success) return { problem: z.prettifyError(parsed.error).replaceAll(/\s+/g, ' ') }
  // The round trip drops fields that are present but undefined, which JSON and the contract's types do not know.
  return { decision: JSON.parse(JSON.stringify(parsed.data)) as Decision }
}
