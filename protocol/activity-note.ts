import { z } from 'zod'

/** What an activity in a sandbox says of itself with each heartbeat: keys, never contents. */
const noteSchema = z.object({
  /** The commands that run, by `execName`, and since when (milliseconds since 1970, by the worker's clock). */
  execs: z.array(z.object({ name: z.string(), sinceMs: z.number() })),
  /** What opening is at: "building image". */
  line: z.string().optional(),
})

export type ActivityNote = z.infer<typeof noteSchema>

/** Undefined for heartbeats that said nothing, or something of another version. */
export function readNote(heartbeatDetails: unknown): ActivityNote | undefined {
  return noteSchema.safeParse(heartbeatDetails).data
}
