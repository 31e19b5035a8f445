import { z } from 'zod'
import type { Rewards } from '../protocol/grade.ts'
import type { TaskJudge } from '../tasks/judge.ts'

type Criteria = TaskJudge['criteria']

/** What a judge said about one criterion. */
export interface CriterionVerdict {
  readonly name: string
  readonly weight: number
  /** 0 to 1. */
  readonly score: number
  readonly reason: string
}

/** A verdict, or what is wrong with the answer. */
export type ParsedVerdict = { readonly criteria: readonly CriterionVerdict[] } | { readonly problem: string }

const longestReason = 4_000

const verdictSchema = z.object({
  verdicts: z.array(z.object({ criterion: z.string(), reason: z.string(), score: z.number().min(0).max(1) })),
})

/** JSON Schema of an answer, in the subset that all services take: limits of the score are only in the question. */
export function answerSchema(criteria: Criteria): Record<string, unknown> {
  const properties = {
    criterion: { type: 'string', enum: criteria.map(({ name }) => name) },
    reason: { type: 'string' },
    score: { type: 'number' },
  }
  const verdict = { type: 'object', properties, required: Object.keys(properties), additionalProperties: false }
  return {
    type: 'object',
    properties: { verdicts: { type: 'array', items: verdict } },
    required: ['verdicts'],
    additionalProperties: false,
  }
}

/** An answer counts only whole: each criterion once, with a score from 0 to 1. */
export function parseVerdict(text: string, criteria: Criteria): ParsedVerdict {
  const parsed = verdictSchema.safeParse(parseJson(text))
  if (!parsed.success) {
    const [issue] = parsed.error.issues
    return { problem: `${issue?.path.join('.') || 'the answer'}: ${issue?.message ?? 'not as asked'}` }
  }
  const { verdicts } = parsed.data
  const counts = criteria.map(({ name }) => verdicts.filter(({ criterion }) => criterion === name).length)
  const wrong = criteria.find((_, index) => counts[index] !== 1)
  if (wrong !== undefined) return { problem: `criterion ${wrong.name}: expected exactly one verdict` }
  const unknown = verdicts.find(({ criterion }) => criteria.every(({ name }) => name !== criterion))
  if (unknown !== undefined) return { problem: `criterion ${unknown.criterion.slice(0, 40)} is none of the task's` }
  const found = new Map(verdicts.map((verdict) => [verdict.criterion, verdict]))
  return {
    criteria: criteria.flatMap(({ name, weight }) => {
      const verdict = found.get(name)
      if (verdict === undefined) return []
      return [{ name, weight, score: verdict.score, reason: verdict.reason.slice(0, longestReason) }]
    }),
  }
}

/** The weighted mean as `reward`, and each criterion's score by its name. */
export function judgeRewards(criteria: readonly CriterionVerdict[]): Rewards {
  const total = criteria.reduce((sum, { weight }) => sum + weight, 0)
  const mean = criteria.reduce((sum, { weight, score }) => sum + weight * score, 0) / total
  return { reward: mean, ...Object.fromEntries(criteria.map(({ name, score }) => [name, score])) }
}

/** Some models put a fence around it whatever they are told. */
function parseJson(text: string): unknown {
  const fenced = /^```(?:json)?\s*\n(.*)\n```$/s.exec(text.trim())?.[1]
  try {
    return JSON.parse(fenced ?? text)
  } catch {
    return undefined
  }
}
