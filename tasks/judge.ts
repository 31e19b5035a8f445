import { z } from 'zod'

/** A model that grades by criteria instead of a test script; of a task's `rollcall.yaml` or row. Messages are what a report expects. */

const text = z.string('text').refine((value) => value.trim() !== '', 'text that is not empty')

const criterion = z.strictObject(
  {
    /** Also the name of its reward. */
    name: z
      .string('text')
      .regex(/^[a-z][a-z0-9_-]{0,39}$/, 'a lower-case letter, then at most 39 letters, digits, _ or -')
      .refine((name) => name !== 'reward', 'another name than reward, which is the weighted mean'),
    /** What earns the full score, for the model. */
    description: text.max(10_000, 'at most 10000 characters'),
    /** Its share of the reward, against the others'. Default 1. */
    weight: z.number('a number above 0').positive('a number above 0').max(1_000, 'at most 1000').default(1),
  },
  'a table with name and description',
)

const criteria = z
  .array(criterion, 'a list of criteria')
  .min(1, 'at least one criterion')
  .max(50, 'at most 50 criteria')
  .refine((list) => new Set(list.map(({ name }) => name)).size === list.length, 'criteria of different names')

export const judgeSchema = z.strictObject(
  {
    /** As for `--model`; its key and base URL come from the worker's environment. */
    model: z
      .string('text')
      .regex(/^(openai|anthropic|openai-compatible)\/.+$/, 'openai/MODEL, anthropic/MODEL or openai-compatible/MODEL'),
    criteria,
    /** What else the model is to know: the right answer, what to look at. The agent never sees it. */
    guidance: text.max(50_000, 'at most 50000 characters').optional(),
    /** Shows every turn of the agent; default: only what it said last. */
    transcript: z.boolean('true or false').default(false),
    /** Files in the sandbox, absolute or relative to the working directory; 64 KiB of each are shown. */
    files: z
      .array(
        z.string('text').refine((path) => path.trim() !== '' && !path.includes('\0'), 'a path'),
        'a list of paths',
      )
      .max(20, 'at most 20 files')
      .default([]),
  },
  'a table with model and criteria',
)

export type TaskJudge = z.infer<typeof judgeSchema>
/** As an author writes it. */
export type JudgeDefinition = z.input<typeof judgeSchema>
