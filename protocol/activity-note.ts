import { z } from 'zod'

const modelWaitSchema = z.object({
  /** The attempt that is waited for; the first one is 1. */
  attempt: z.number(),
  /** What the attempt before it ended with. */
  failure: z.object({ code: z.string(), message: z.string() }),
  /** When it will be made: milliseconds since 1970, by the worker's clock. */
  atMs: z.number(),
})

/** The model's service is to be asked again. */
export type ModelWait = z.infer<typeof modelWaitSchema>

/** What an activity in a sandbox says of itself with each heartbeat: keys, never contents. */
const noteSchema = z.object({
  /** The commands that run, by `execName`, and since when (milliseconds since 1970, by the worker's clock). */
  execs: z.array(z.object({ name: z.string(), sinceMs: z.number() })),
  /** What opening is at: "building image". */
  line: z.string().optional(),
  modelWait: modelWaitSchema.optional(),
  /** How much of the agent's time this slice of turns has taken so far, over all attempts, in milliseconds. */
  tookMs: z.number().optional(),
})

export type ActivityNote = z.infer<typeof noteSchema>

/** Undefined for heartbeats that said nothing, or something of another version. */
export function readNote(heartbeatDetails: unknown): ActivityNote | undefined {
  return noteSchema.safeParse(heartbeatDetails).data
}
