import { z } from 'zod'
import { integrityClasses } from './grade.ts'
import { taskNamePattern } from './names.ts'
import { poolNamePattern, profileSchema } from './pool.ts'
import { runtimeConfigSchema } from './runtime-config.ts'

/** Schemas of what crosses process boundaries about a job. Workflows import only the types. */

const jsonScalarRecord = z.record(z.string(), z.string())

export const agentSpecSchema = z.object({
  kind: z.enum(['oracle', 'nop', 'script', 'command', 'model', 'module', 'stored']),
  label: z.string().regex(/^[a-z0-9][a-z0-9-]{0,39}$/),
  args: jsonScalarRecord,
  model: z.string().optional(),
  module: z.object({ key: z.string(), exportName: z.string(), source: z.string() }).optional(),
})

/** A bundled file with tools: its key in the store, and what it was called. */
export const toolModuleSchema = z.object({ key: z.string(), source: z.string() })
export type ToolModule = z.infer<typeof toolModuleSchema>

/** Which tasks of a taskset a job is about, in which order. Kept for whoever asks why; the tasks are listed. */
const selectionSchema = z
  .strictObject({
    /** Globs of task names; none means all. */
    include: z.array(z.string()),
    exclude: z.array(z.string()),
    /** Metadata by dotted path; any of the values. */
    where: z.record(z.string(), z.array(z.string())),
    /** Shuffled by this seed before `limit` counts. */
    seed: z.int().min(0).max(0xffffffff),
    limit: z.int().min(1),
  })
  .partial()

const multiplier = z.number('a number above 0').positive('a number above 0').max(1_000, 'at most 1000')

/** Of time limits, by phase; a phase without one of its own takes `all`. */
export const timeoutMultipliersSchema = z
  .strictObject({
    all: multiplier,
    agent: multiplier,
    verifier: multiplier,
    agentSetup: multiplier,
    environmentBuild: multiplier,
  })
  .partial()

/** Everything that defines a job; `jobs/<job>/job.json`. The same id with other options is a conflict. */
export const jobOptionsSchema = z.object({
  version: z.literal(1),
  taskset: z.string(),
  tasks: z.array(z.object({ name: z.string().regex(taskNamePattern), checksum: z.string() })).min(1),
  agents: z.array(agentSpecSchema).min(1),
  /** `options`: the provider's own settings, checked by its adapter (`{ network: "true" }` for `--local-network`). */
  provider: z.object({ name: z.string(), options: jsonScalarRecord, runtime: runtimeConfigSchema.optional() }),
  /** The taskset's own runtime: below that of its tasks. */
  tasksetRuntime: runtimeConfigSchema.optional(),
  /** Over the tasks' runtime. */
  runtime: runtimeConfigSchema,
  /** Names of the host's variables that tasks may have: `${VAR}`. Never their values. */
  allowEnv: z.array(z.string()).optional(),
  /** Files with tools of the user's own. Absent: none. */
  tools: z.array(toolModuleSchema).min(1).optional(),
  selection: selectionSchema.optional(),
  imageMap: jsonScalarRecord,
  attempts: z.number().int().min(1).max(1000),
  /** How many rollouts run at the same time, from the start; may be changed while the job runs. */
  concurrency: z.number().int().min(1).max(10_000),
  limits: z.object({
    /** Turns per rollout. */
    maxTurns: z.number().int().min(1),
    /** Input plus output tokens per rollout, where the agent reports usage. */
    maxTokens: z.number().int().min(1).optional(),
    /** For tasks that state no agent timeout. */
    agentTimeoutMs: z.number().int().min(1),
  }),
  sandboxLoss: z.object({
    policy: z.enum(['fail', 'restart']),
    maxIncarnations: z.number().int().min(1).max(9),
    /** With several hosts: one whose workers ask for no work this long is lost. */
    hostLostMs: z.number().int().min(1_000).default(120_000),
  }),
  /** A grade of a weaker class is a failure. Absent: every class is accepted. */
  requireIntegrity: z.enum(integrityClasses).optional(),
  gradingAttempts: z.number().int().min(1).max(3),
  timeoutMultipliers: timeoutMultipliersSchema.default({}),
  /** Builds a task's Dockerfile also where the task names an image. */
  ignoreDockerImage: z.boolean().default(false),
  keep: z.enum(['never', 'on-failure', 'always']),
  /** Pools that sandboxes are taken from: by profile, those that the job or its tasks name. */
  pools: z
    .object({
      /** Name of the pools. */
      name: z.string().regex(poolNamePattern),
      /** Of tasks that name none. Absent: their sandboxes are their own. */
      profile: z.string().optional(),
      profiles: z.record(z.string(), profileSchema),
    })
    .optional(),
  /** The job whose rollouts this one runs again. */
  parentJob: z.string().optional(),
  /** Only these rollouts, by name; default: every attempt of every agent at every task. */
  rollouts: z.array(z.string()).min(1).optional(),
})

export type JobOptions = z.infer<typeof jobOptionsSchema>
/** Which tasks of a taskset a job is about: what `Taskset.select` takes. */
export type Selection = z.infer<typeof selectionSchema>

/** Input of the job workflow. Options are in the store under `jobs/<job>/job.json`. */
export interface JobInput {
  readonly job: string
  readonly storeUrl: string
  readonly taskQueue: string
  readonly concurrency: number
  /** Key that the client has just written; the worker proves that it sees the same store. */
  readonly proofKey: string
}

/** One rollout of a job as the job's plan lists it. */
export interface PlannedRollout {
  /** `<task>.<agent label>.<attempt>`. */
  readonly name: string
  readonly task: string
  readonly agent: string
  readonly attempt: number
}
