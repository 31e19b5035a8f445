import { z } from 'zod'

/**
 * What is asked of a sandbox (design §7), by whoever may ask: the provider's settings, the taskset, a task, the job.
 * Every field is optional; `null` clears what a lower layer says.
 */

const positive = (unit: string) => z.number(`a number of ${unit} above 0`).positive(`a number of ${unit} above 0`)
const whole = (unit: string) =>
  z.int(`a whole number of ${unit} above 0`).positive(`a whole number of ${unit} above 0`).nullable()
const text = z.string('text').refine((value) => !value.includes('\0'), 'text without a NUL character')
const name = text.min(1, 'text that is not empty')
const variable = z.string().regex(/^[A-Za-z_][A-Za-z0-9_]*$/, 'a variable name of letters, digits and _')

const gpus = z.strictObject(
  { count: z.int('a whole number, 0 or more').min(0, 'a whole number, 0 or more'), types: z.array(name).optional() },
  'a table with count and perhaps types',
)

const resources = z
  .strictObject(
    {
      cpus: positive('CPUs').nullable(),
      memoryMiB: whole('mebibytes'),
      storageMiB: whole('mebibytes'),
      pids: whole('processes'),
      gpus: gpus.nullable(),
    },
    'a table',
  )
  .partial()

const limits = z
  .strictObject(
    {
      acquireTimeoutMs: whole('milliseconds'),
      startTimeoutMs: whole('milliseconds'),
      execTimeoutMs: whole('milliseconds'),
      idleTimeoutMs: whole('milliseconds'),
      lifetimeMs: whole('milliseconds'),
    },
    'a table',
  )
  .partial()

const network = z.union(
  [z.enum(['public', 'none']), z.strictObject({ allowlist: z.array(name).min(1) })],
  '"public", "none" or { allowlist: [hosts] }',
)

const mount = z.strictObject(
  { source: name, target: name, readOnly: z.boolean('true or false') },
  'a table with source, target and readOnly',
)

export const runtimeConfigSchema = z
  .strictObject(
    {
      /** An image's name; it stands in for a task's Dockerfile, too. */
      image: text.regex(/^\S+$/, 'an image name such as "debian:bookworm-slim"').nullable(),
      resources: resources.nullable(),
      limits: limits.nullable(),
      network: network.nullable(),
      /** `${VAR}` takes a value of the host, with consent. */
      env: z.record(variable, text.nullable(), 'a table of texts').nullable(),
      /** Names of variables of the worker's environment. A list counts as a whole. */
      secrets: z.array(variable, 'a list of variable names').nullable(),
      /** A list counts as a whole. */
      mounts: z.array(mount, 'a list of tables').nullable(),
      user: name.nullable(),
      workdir: text.regex(/^\//, 'an absolute path').nullable(),
    },
    'a table',
  )
  .partial()

/** What a layer asks of a sandbox; docs/runtime.md says which layer goes over which. */
export type RuntimeConfig = z.infer<typeof runtimeConfigSchema>

/**
 * One layer over another: tables field by field, everything else as a whole. A `null` stays, so that it clears whatever
 * the result is laid over.
 */
export function layRuntime(lower: RuntimeConfig, upper: RuntimeConfig): RuntimeConfig {
  return layTable(lower, upper)
}

function layTable(lower: object, upper: object): object {
  const laid: Record<string, unknown> = { ...lower }
  for (const [key, value] of Object.entries(upper)) {
    if (value === undefined) continue
    const below = laid[key]
    // Count and types of GPUs make sense only together.
    laid[key] = isTable(below) && isTable(value) && key !== 'gpus' ? layTable(below, value) : value
  }
  return laid
}

function isTable(value: unknown): value is object {
  return typeof value === 'object' && value !== null && !Array.isArray(value)
}

/** What a rollout's sandbox was really asked to be: every layer resolved. For the lock file and results. */
export interface EffectiveRuntime {
  /** A name, the content hash of a build context, or `default`: the provider's. */
  readonly image: string | { readonly dockerfile: string }
  readonly resources: Readonly<Record<string, unknown>>
  readonly limits: Readonly<Record<string, number>>
  readonly network: 'public' | 'none' | { readonly allowlist: readonly string[] }
  /** As tasks write them: `${VAR}`, never its value. */
  readonly env: Readonly<Record<string, string>>
  readonly secrets: readonly string[]
  readonly mounts: readonly unknown[]
  readonly user?: string
  readonly workdir?: string
}
