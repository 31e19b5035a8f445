import { readFile } from 'node:fs/promises'
import { parse, YAMLParseError } from 'yaml'
import { z } from 'zod'
import { RollcallError } from '../protocol/failure.ts'
import { integrityClasses } from '../protocol/grade.ts'
import { agentSpecSchema, jobOptionsSchema, timeoutMultipliersSchema, toolModuleSchema } from '../protocol/job.ts'
import type { JobOptions } from '../protocol/job.ts'
import { jobIdPattern } from '../protocol/names.ts'
import { runtimeConfigSchema } from '../protocol/runtime-config.ts'
import { describeProblem, problemsOfIssues } from '../tasks/problems.ts'

/** `rollcall run -c FILE`: everything that `run` takes, under the names that `Taskset.run` has for it. */

const text = z.string('text').min(1, 'text that is not empty')
const texts = z.array(text, 'a list of texts')
const flag = z.boolean('true or false')
const pairs = z.record(z.string(), z.string('text'), 'a table of texts')
const count = z.int('a whole number above 0').positive('a whole number above 0')

/** Zod says "absent" by undefined; whoever takes the options must not find the key. */
const agent = z.union(
  [
    text,
    z.strictObject({ agent: text, args: pairs.optional(), model: text.optional(), label: text.optional() }),
    z.strictObject({ spec: agentSpecSchema }),
  ],
  'an agent by name, or a table with agent and perhaps args, model and label',
)

const provider = z.union(
  [text, z.strictObject({ name: text, options: pairs.optional(), runtime: runtimeConfigSchema.optional() })],
  'a provider by name, or a table with name and perhaps options and runtime',
)

const keptTasks = z.strictObject({
  name: text,
  tasks: z.array(z.strictObject({ name: text, checksum: text })).min(1),
  runtime: runtimeConfigSchema.optional(),
})

const whereValue = z.union([z.string(), z.number(), z.boolean()])

export const jobFileSchema = z
  .strictObject(
    {
      /** A path, or the tasks of an earlier job, which are in the store. */
      taskset: z.union([text, keptTasks], 'the path of a taskset'),
      agents: z.array(agent, 'a list of agents').min(1, 'at least one agent'),
      node: text,
      provider,
      pool: z
        .strictObject({
          profile: text,
          profiles: z.union(
            [text, z.record(z.string(), z.looseObject({}))],
            'the path of a file, or a table of profiles',
          ),
          name: text,
        })
        .partial(),
      attempts: count,
      concurrency: count,
      job: text.regex(jobIdPattern, 'letters, digits, - and _, at most 100, beginning with a letter or digit'),
      jobsDir: text,
      runtime: runtimeConfigSchema,
      tools: z.array(z.union([z.string(), toolModuleSchema], 'a file')).min(1, 'at least one file'),
      imageMap: pairs,
      maxTurns: count,
      maxTokens: count,
      agentTimeoutMs: count,
      timeoutMultipliers: timeoutMultipliersSchema,
      ignoreDockerImage: flag,
      sandboxLoss: z
        .strictObject({
          policy: z.enum(['fail', 'restart'], '"fail" or "restart"'),
          maxIncarnations: count,
          hostLostMs: count,
        })
        .partial(),
      requireIntegrity: z.enum(integrityClasses, 'separate, non-root, clean or live'),
      gradingAttempts: count,
      keep: z.enum(['never', 'on-failure', 'always'], '"never", "on-failure" or "always"'),
      worker: z.enum(['own', 'shared'], '"own" or "shared"'),
      allowEnv: z.union([z.literal('all'), texts], '"all" or a list of variable names'),
      include: texts,
      exclude: texts,
      where: z.record(z.string(), z.union([whereValue, z.array(whereValue)]), 'a table of values'),
      shuffle: flag,
      seed: z.int('a whole number, 0 or more').min(0, 'a whole number, 0 or more').max(0xffffffff),
      limit: count,
      detach: flag,
      json: flag,
      failUnder: z.number('a number'),
    },
    'a table',
  )
  .partial()

export type JobFile = z.infer<typeof jobFileSchema>

/**
 * Reads a job file in YAML or JSON, or the `config.json` of a job that was exported, which starts the same job anew.
 * @throws RollcallError `configuration-invalid` naming every field that is wrong
 */
export async function readJobFile(path: string): Promise<JobFile> {
  const value = await readYamlFile('--config', path)
  const kept = z.looseObject({ rollcall: jobOptionsSchema }).safeParse(value)
  if (kept.success) return jobFileOf(kept.data.rollcall)
  return parseStrictly(jobFileSchema, value, path)
}

/** @throws RollcallError `configuration-invalid` */
export async function readYamlFile(option: string, path: string): Promise<unknown> {
  try {
    const content = await readFile(path, 'utf8')
    return path.endsWith('.json') ? JSON.parse(content) : (parse(content) ?? {})
  } catch (error) {
    if (!(error instanceof Error)) throw error
    throw new RollcallError('configuration-invalid', `${option} is ${path}: expected ${expectedOf(error)}`)
  }
}

function expectedOf(error: NodeJS.ErrnoException): string {
  if (error.code === 'ENOENT') return 'a file in YAML or JSON, and there is none'
  const line = error instanceof YAMLParseError ? ` (line ${error.linePos?.[0].line ?? 1})` : ''
  return `readable YAML or JSON: ${error.message.split('\n')[0]}${line}`
}

/** @throws RollcallError `configuration-invalid` naming every field that is wrong, a line each */
export function parseStrictly<Schema extends z.ZodType>(
  schema: Schema,
  value: unknown,
  path: string,
): z.output<Schema> {
  const parsed = schema.safeParse(value)
  if (parsed.success) return parsed.data
  const problems = problemsOfIssues({ error: parsed.error, input: value, schema })
  const lines = problems.map((one) => `${path}: ${describeProblem({ ...one, field: one.field || 'the file' })}`)
  throw new RollcallError('configuration-invalid', lines.join('\n'))
}

/** What would start a job with these options anew; its id is not among them, since that would come back to it. */
function jobFileOf(options: JobOptions): JobFile {
  const { taskset: name, tasks, tasksetRuntime, agents, limits } = options
  const { runtime, imageMap, attempts, concurrency, sandboxLoss, gradingAttempts, keep, allowEnv } = options
  const { timeoutMultipliers, ignoreDockerImage, requireIntegrity, pools } = options
  return {
    taskset: { name, tasks, ...(tasksetRuntime === undefined ? {} : { runtime: tasksetRuntime }) },
    agents: agents.map((spec) => ({ spec })),
    provider: options.provider,
    ...(pools === undefined ? {} : { pool: pools }),
    attempts,
    concurrency,
    runtime,
    imageMap,
    sandboxLoss,
    ...(requireIntegrity === undefined ? {} : { requireIntegrity }),
    gradingAttempts,
    keep,
    timeoutMultipliers,
    ignoreDockerImage,
    maxTurns: limits.maxTurns,
    ...(limits.maxTokens === undefined ? {} : { maxTokens: limits.maxTokens }),
    agentTimeoutMs: limits.agentTimeoutMs,
    ...(allowEnv === undefined ? {} : { allowEnv }),
    ...(options.tools === undefined ? {} : { tools: options.tools }),
  }
}
