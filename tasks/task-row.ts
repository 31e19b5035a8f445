import { z } from 'zod'
import { taskNamePattern } from '../protocol/names.ts'
import { poolNamePattern } from '../protocol/pool.ts'
import { judgeSchema } from './judge.ts'
import { runtimeConfigSchema } from '../protocol/runtime-config.ts'

/** A task as one row of a JSONL or YAML file, or as TypeScript defines it. Messages are what a report expects. */

const text = z.string('text').refine((value) => !value.includes('\0'), 'text without a NUL character')
const script = text.refine((value) => value.trim() !== '', 'a command')
const ms = z.int('a whole number of milliseconds above 0').positive('a whole number of milliseconds above 0')
const variable = z.string().regex(/^[A-Za-z_][A-Za-z0-9_]*$/, 'a variable name of letters, digits and _')
const env = z.record(variable, text, 'a table of texts')

/** A path that stays below the folder it is meant for. */
const relativePath = z
  .string()
  .refine(
    (path) => path !== '' && !path.startsWith('/') && !path.split('/').some((part) => ['', '.', '..'].includes(part)),
    'a relative path without . and ..',
  )

const file = z.union(
  [text, z.strictObject({ from: text.min(1) }), z.strictObject({ content: text, executable: z.boolean().optional() })],
  'its text, { content, executable }, or { from: PATH } for a file or folder beside this one',
)

/** JSON without `null`, which TOML does not have. */
const metadataValue: z.ZodType = z.lazy(() =>
  z.union(
    [z.string(), z.number(), z.boolean(), z.array(metadataValue), z.record(z.string(), metadataValue)],
    'text, a number, true or false, a list or a table (null is none of them: leave the key out)',
  ),
)

export const taskRowSchema = z.strictObject(
  {
    name: z.string('text').regex(taskNamePattern, 'a letter or digit, then at most 79 letters, digits, _ or -'),
    /** What the agent is told. */
    instruction: text.refine((value) => value.trim() !== '', 'what the agent is told, as text'),
    /** Absent: `files.Dockerfile`, else the runtime's or the provider's. */
    image: text.regex(/^\S+$/, 'an image name such as "debian:bookworm-slim"').optional(),
    /** Put into the working directory; with a `Dockerfile` among them, they are its build context instead. */
    files: z.record(relativePath, file, 'a table of files by path').optional(),
    /** Run in the working directory: exit code 0 is reward 1, any other 0, unless it writes a reward itself. */
    check: script.optional(),
    /** Instead of `check`: a model grades by criteria. */
    judge: judgeSchema.optional(),
    /** A script for the oracle. */
    solution: script.optional(),
    /** Of every command. */
    env: env.optional(),
    /** Of the check alone. */
    checkEnv: env.optional(),
    /** Default: the image's; `/app` where there are files. */
    workdir: text.regex(/^\//, 'an absolute path').optional(),
    agentTimeoutMs: ms.optional(),
    /** Default 10 min. */
    checkTimeoutMs: ms.optional(),
    metadata: z.record(z.string(), metadataValue, 'a table').optional(),
    runtime: runtimeConfigSchema.optional(),
    /** Its sandbox is taken from the pool of this profile. */
    profile: z.string('text').regex(poolNamePattern, 'the name of a profile').optional(),
  },
  'a table',
)

export type TaskRow = z.infer<typeof taskRowSchema>
