import { stringify } from 'yaml'
import { runDefaults } from '../client/run-defaults.ts'
import type { RunOptions } from '../client/index.ts'
import type { Selection } from '../protocol/job.ts'
import { layRuntime, runtimeConfigSchema } from '../protocol/runtime-config.ts'
import type { RuntimeConfig } from '../protocol/runtime-config.ts'
import { jobFileSchema, parseStrictly, readJobFile, readYamlFile } from './job-file.ts'
import type { JobFile } from './job-file.ts'
import { badOption } from './parse-values.ts'
import { defaultJobsDir } from './run-options.ts'

/** What stands where: a file, and the command line over it. */
export interface RunSources {
  /** Of `-c FILE`. */
  readonly file: JobFile
  /** `--runtime-file FILE`: over the job file's runtime, under the flags'. */
  readonly runtimeFile?: string
  /** The command line. */
  readonly flags: JobFile
}

/** @throws RollcallError `configuration-invalid` */
export async function readConfig(path: string | undefined): Promise<JobFile> {
  return path === undefined ? {} : await readJobFile(path)
}

/**
 * What a run comes to: each field of the command line goes over the file's; runtimes and image maps field by field,
 * variables of the host together.
 * @throws RollcallError `configuration-invalid`
 */
export async function effectiveConfig({ file, runtimeFile, flags }: RunSources): Promise<JobFile> {
  const between = runtimeFile === undefined ? {} : await readRuntimeFile(runtimeFile)
  const runtime = [file.runtime ?? {}, between, flags.runtime ?? {}].reduce(layRuntime, {})
  const merged: JobFile = {
    ...placeless(file, flags),
    ...flags,
    ...(Object.keys(runtime).length === 0 ? {} : { runtime }),
    ...mergedProvider(file.provider, flags.provider),
    ...(file.imageMap && flags.imageMap ? { imageMap: { ...file.imageMap, ...flags.imageMap } } : {}),
    ...(file.sandboxLoss && flags.sandboxLoss ? { sandboxLoss: { ...file.sandboxLoss, ...flags.sandboxLoss } } : {}),
    ...(file.pool && flags.pool ? { pool: { ...file.pool, ...flags.pool } } : {}),
    ...mergedEnv(file.allowEnv, flags.allowEnv),
  }
  const hostLostMs = flags.sandboxLoss?.hostLostMs
  if (hostLostMs !== undefined && merged.worker !== 'shared') {
    throw badOption('--host-timeout', `${hostLostMs}ms`, "--no-worker with it: a job's own worker has one host only")
  }
  if (merged.seed !== undefined && merged.shuffle !== true) {
    throw badOption('--seed', String(merged.seed), '--shuffle with it: it says in which order tasks are shuffled')
  }
  return merged
}

/** A node or a provider of the command line goes over either of the file. */
function placeless(file: JobFile, flags: JobFile): JobFile {
  const { node: _, provider, ...rest } = file
  if (flags.node !== undefined) return rest
  if (flags.provider !== undefined) return { ...rest, ...(provider === undefined ? {} : { provider }) }
  return file
}

async function readRuntimeFile(path: string): Promise<RuntimeConfig> {
  return parseStrictly(runtimeConfigSchema, await readYamlFile('--runtime-file', path), path)
}

/** Settings belong to a provider: those of another one in the file are not for the one that is asked for. */
function mergedProvider(file: JobFile['provider'], flags: JobFile['provider']): Pick<JobFile, 'provider'> {
  if (file === undefined || flags === undefined) return {}
  const [below, above] = [asTable(file), asTable(flags)]
  if (above.name !== below.name) return { provider: { ...below, options: {}, ...above } }
  return { provider: { ...below, options: { ...below.options, ...above.options } } }
}

export function providerName({ provider }: JobFile): string | undefined {
  return provider === undefined ? undefined : asTable(provider).name
}

function asTable(provider: NonNullable<JobFile['provider']>) {
  return typeof provider === 'string' ? { name: provider } : provider
}

function mergedEnv(file: JobFile['allowEnv'], flags: JobFile['allowEnv']): Pick<JobFile, 'allowEnv'> {
  if (file === undefined || flags === undefined) return {}
  return { allowEnv: file === 'all' || flags === 'all' ? 'all' : [...new Set([...file, ...flags])] }
}

/** As YAML, with what holds where nothing is said: a file for `-c` that does the same. */
export function printedConfig(config: JobFile): string {
  const { agent, worker, sandboxLoss, ...defaults } = runDefaults
  const effective: Record<string, unknown> = {
    agents: [agent],
    jobsDir: defaultJobsDir,
    ...defaults,
    ...config,
    sandboxLoss: { ...sandboxLoss, ...config.sandboxLoss },
    ...(config.shuffle === true ? { seed: config.seed ?? 0 } : {}),
    worker: config.worker ?? worker,
  }
  if (config.node !== undefined) effective['provider'] = undefined
  const keys = Object.keys(jobFileSchema.shape).filter((key) => effective[key] !== undefined)
  return stringify(Object.fromEntries(keys.map((key) => [key, effective[key]])))
}

/** @returns what `Taskset.select` takes */
export function selectionOf({ include, exclude, where, shuffle, seed, limit }: JobFile): Selection {
  return {
    ...(include === undefined || include.length === 0 ? {} : { include }),
    ...(exclude === undefined || exclude.length === 0 ? {} : { exclude }),
    ...(where === undefined ? {} : { where: wherePaths(where) }),
    ...(shuffle === true ? { seed: seed ?? 0 } : {}),
    ...(limit === undefined ? {} : { limit }),
  }
}

function wherePaths(where: NonNullable<JobFile['where']>): Record<string, string[]> {
  const entries = Object.entries(where)
  return Object.fromEntries(
    entries.map(([path, value]) => [path, (Array.isArray(value) ? value : [value]).map(String)]),
  )
}

/** What `Taskset.run` takes. */
export function runOptionsOf(config: JobFile): RunOptions {
  const { taskset: _1, jobsDir: _2, detach: _3, json: _4, failUnder: _5, agents, ...rest } = config
  const { include: _6, exclude: _7, where: _8, shuffle: _9, seed: _10, limit: _11, ...options } = rest
  return defined({ ...options, agent: agents })
}

/** Zod's optional fields may hold undefined, those of options may not; JSON has none, at any depth. */
function defined(options: object): RunOptions {
  return JSON.parse(JSON.stringify(options)) as RunOptions
}
