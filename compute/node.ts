import { z } from 'zod'
import { nodeTypes } from './node-types.ts'

/** What could not be found out is `unknown`, never a guess. */
const known = <Value extends z.ZodType>(value: Value) => z.union([value, z.literal('unknown')])

const gpuSchema = z.object({ name: known(z.string()), vramMiB: known(z.number()) })

/** What a node was when somebody last looked. */
export const nodeReportSchema = z.object({
  /** `uname -s`. */
  os: known(z.string()),
  /** "Debian GNU/Linux 12 (bookworm)". */
  distribution: known(z.string()),
  /** `uname -m`. */
  architecture: known(z.string()),
  cores: known(z.number()),
  memoryMiB: known(z.number()),
  /** Free where sandboxes are made. */
  diskMiB: known(z.number()),
  gpus: known(z.array(gpuSchema)),
  /** Of NVIDIA. */
  driver: known(z.string()),
  /** The highest version that the driver supports. */
  cuda: known(z.string()),
  /** Versions, the newest first; empty where there is none. */
  pythons: known(z.array(z.string())),
  /** Version of the Engine that answers there. */
  docker: known(z.string()),
  conda: known(z.string()),
  internet: known(z.boolean()),
  /** Median of five, in milliseconds; unknown where nothing is between. */
  roundTripMs: known(z.number()),
})

export type NodeReport = z.infer<typeof nodeReportSchema>

export const nodeSchema = z.object({
  name: z.string(),
  type: z.enum(nodeTypes),
  /** Of its provider, as `--provider-arg` takes them. No secrets: those stay in the environment or in key files. */
  settings: z.record(z.string(), z.string()),
  /** ISO 8601. */
  added: z.string(),
  /** When it last answered, ISO 8601. */
  lastSeen: z.string().optional(),
  report: nodeReportSchema.optional(),
  /** Why it did not answer when it was last asked. */
  problem: z.string().optional(),
})

export type ComputeNode = z.infer<typeof nodeSchema>

/** A report of which nothing is known. */
export const nothingKnown: NodeReport = {
  os: 'unknown',
  distribution: 'unknown',
  architecture: 'unknown',
  cores: 'unknown',
  memoryMiB: 'unknown',
  diskMiB: 'unknown',
  gpus: 'unknown',
  driver: 'unknown',
  cuda: 'unknown',
  pythons: 'unknown',
  docker: 'unknown',
  conda: 'unknown',
  internet: 'unknown',
  roundTripMs: 'unknown',
}
