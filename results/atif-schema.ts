import { z } from 'zod'

/**
 * ATIF v1.7, the trajectory format of Harbor, with every rule of its reader (facts: Harbor 0.22, `models/trajectories`):
 * unknown fields are refused, steps are numbered from 1, some fields belong to agents alone, and an observation names
 * only calls of its own step.
 */

const extra = z.record(z.string(), z.unknown()).optional()
const count = z.int().min(0)

const imageSource = z.strictObject({
  media_type: z.enum(['image/jpeg', 'image/png', 'image/gif', 'image/webp']),
  path: z.string(),
})

const contentPart = z.discriminatedUnion('type', [
  z.strictObject({ type: z.literal('text'), text: z.string() }),
  z.strictObject({ type: z.literal('image'), source: imageSource }),
])

const content = z.union([z.string(), z.array(contentPart)])

const subagentReference = z
  .strictObject({
    trajectory_id: z.string().optional(),
    session_id: z.string().optional(),
    trajectory_path: z.string().optional(),
    extra,
  })
  .refine((reference) => reference.trajectory_id !== undefined || reference.trajectory_path !== undefined, {
    message: 'expected trajectory_id or trajectory_path',
  })

const toolCall = z.strictObject({
  tool_call_id: z.string(),
  function_name: z.string(),
  arguments: z.record(z.string(), z.unknown()),
  extra,
})

const observation = z.strictObject({
  results: z.array(
    z.strictObject({
      source_call_id: z.string().optional(),
      content: content.optional(),
      subagent_trajectory_ref: z.array(subagentReference).optional(),
      extra,
    }),
  ),
})

const metrics = z.strictObject({
  prompt_tokens: count.optional(),
  completion_tokens: count.optional(),
  cached_tokens: count.optional(),
  cost_usd: z.number().optional(),
  prompt_token_ids: z.array(z.int()).optional(),
  completion_token_ids: z.array(z.int()).optional(),
  logprobs: z.array(z.number()).optional(),
  extra,
})

/** What only a step of the agent may have. */
const agentOnly = ['model_name', 'reasoning_effort', 'reasoning_content', 'tool_calls', 'metrics'] as const
/** What a step without a request to a model may not have. */
const modelOnly = ['metrics', 'reasoning_content'] as const

const step = z
  .strictObject({
    step_id: z.int().min(1),
    timestamp: z.iso.datetime({ offset: true, local: true }).optional(),
    source: z.enum(['system', 'user', 'agent']),
    model_name: z.string().optional(),
    reasoning_effort: z.union([z.string(), z.number()]).optional(),
    message: content,
    reasoning_content: z.string().optional(),
    tool_calls: z.array(toolCall).optional(),
    observation: observation.optional(),
    metrics: metrics.optional(),
    is_copied_context: z.boolean().optional(),
    llm_call_count: count.optional(),
    extra,
  })
  .superRefine((value, context) => {
    const refuse = (field: string, why: string) => context.addIssue({ code: 'custom', path: [field], message: why })
    if (value.source !== 'agent')
      for (const field of agentOnly) if (value[field] !== undefined) refuse(field, 'belongs to steps of the agent')
    if (value.source === 'agent' && value.llm_call_count === 0)
      for (const field of modelOnly) if (value[field] !== undefined) refuse(field, 'needs a request to a model')
    const calls = new Set(value.tool_calls?.map((call) => call.tool_call_id))
    for (const { source_call_id: call } of value.observation?.results ?? [])
      if (call !== undefined && !calls.has(call)) refuse('observation', `names the unknown call ${call}`)
  })

const trajectory = z.strictObject({
  schema_version: z.literal('ATIF-v1.7'),
  session_id: z.string().optional(),
  trajectory_id: z.string().optional(),
  agent: z.strictObject({
    name: z.string(),
    version: z.string(),
    model_name: z.string().optional(),
    tool_definitions: z.array(z.record(z.string(), z.unknown())).optional(),
    extra,
  }),
  steps: z
    .array(step)
    .min(1)
    .refine((steps) => steps.every(({ step_id }, index) => step_id === index + 1), {
      message: 'expected step_id 1, 2, 3, …',
    }),
  notes: z.string().optional(),
  final_metrics: z
    .strictObject({
      total_prompt_tokens: count.optional(),
      total_completion_tokens: count.optional(),
      total_cached_tokens: count.optional(),
      total_cost_usd: z.number().optional(),
      total_steps: count.optional(),
      extra,
    })
    .optional(),
  continued_trajectory_ref: z.string().optional(),
  extra,
})

/** A trajectory with those of its subagents, whose ids must be there and differ. */
export const atifSchema = trajectory.extend({
  subagent_trajectories: z
    .array(trajectory.extend({ trajectory_id: z.string() }))
    .refine((all) => new Set(all.map(({ trajectory_id: id }) => id)).size === all.length, {
      message: 'expected different trajectory_ids',
    })
    .optional(),
})

export type AtifTrajectory = z.input<typeof atifSchema>
export type AtifStep = AtifTrajectory['steps'][number]
