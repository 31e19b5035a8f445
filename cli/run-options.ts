import { jobIdPattern } from '../protocol/names.ts'
import { providerNames } from '../workers/providers.ts'
import type { AgentOption, RunOptions } from '../client/index.ts'
import * as parse from './parse-values.ts'

/** Options of `rollcall run` as they stand on the command line. */
export interface RawRunOptions {
  readonly provider: string
  readonly providerArg: readonly string[]
  readonly localNetwork?: boolean
  readonly unsafeLocal?: boolean
  readonly attempts: string
  readonly concurrency: string
  readonly job?: string
  readonly imageMap: readonly string[]
  readonly cpus?: string
  readonly memory?: string
  readonly maxTurns?: string
  readonly maxTokens?: string
  readonly agentTimeout?: string
  readonly sandboxLoss?: string
  readonly hostTimeout?: string
  readonly keep?: string
  /** Commander's form of `--no-worker`. */
  readonly worker: boolean
}

/** The options for `Taskset.run`. @throws RollcallError `configuration-invalid`, one sentence */
export function parseRunOptions(raw: RawRunOptions, agents: readonly AgentOption[]): RunOptions {
  return {
    agent: agents,
    provider: parseProvider(raw),
    attempts: parse.parseCount('--attempts', raw.attempts, { max: 1000 }),
    concurrency: parse.parseCount('--concurrency', raw.concurrency, { max: 10_000 }),
    imageMap: parseImageMap(raw.imageMap),
    worker: raw.worker ? 'own' : 'shared',
    ...given('job', raw.job, parseJobId),
    ...parseLimits(raw),
    ...parseResources(raw),
  }
}

function parseImageMap(pairs: readonly string[]): Record<string, string> {
  const form = 'FROM=TO, two image names'
  const [wrong] = pairs.filter((pair) => !/^[^\s=]+=[^\s=]+$/.test(pair))
  if (wrong !== undefined) throw parse.badOption('--image-map', wrong, form)
  return parse.parsePairs('--image-map', pairs, form)
}

/** @throws RollcallError `configuration-invalid` */
export function parseJobId(id: string): string {
  if (jobIdPattern.test(id)) return id
  throw parse.badOption('Job id', id, 'letters, digits, - and _, at most 100, beginning with a letter or digit')
}

/** `--provider` and its own options, also for `doctor` and `validate`. */
export function parseProvider(raw: Pick<RawRunOptions, 'provider' | 'providerArg' | 'localNetwork' | 'unsafeLocal'>): {
  name: string
  options: Record<string, string>
} {
  parse.parseChoice('--provider', raw.provider, providerNames)
  const options = parse.parsePairs('--provider-arg', raw.providerArg)
  for (const [flag, asked, key] of localFlags(raw)) {
    if (!asked) continue
    if (raw.provider !== 'local') throw parse.badOption('--provider', raw.provider, `local together with ${flag}`)
    options[key] = 'true'
  }
  return { name: raw.provider, options }
}

function localFlags(raw: Pick<RawRunOptions, 'localNetwork' | 'unsafeLocal'>) {
  return [
    ['--local-network', raw.localNetwork, 'network'],
    ['--unsafe-local', raw.unsafeLocal, 'unsafe'],
  ] as const
}

const keepPolicies = ['never', 'on-failure', 'always'] as const

function parseLimits(raw: RawRunOptions): RunOptions {
  return {
    ...given('maxTurns', raw.maxTurns, (value) => parse.parseCount('--max-turns', value)),
    ...given('maxTokens', raw.maxTokens, (value) => parse.parseCount('--max-tokens', value)),
    ...given('agentTimeoutMs', raw.agentTimeout, (value) => parse.parseDurationMs('--agent-timeout', value)),
    ...parseSandboxLoss(raw),
    ...given('keep', raw.keep, (value) => parse.parseChoice('--keep', value, keepPolicies)),
  }
}

const lossPolicies = ['fail', 'restart'] as const

function parseSandboxLoss(raw: RawRunOptions): Pick<RunOptions, 'sandboxLoss'> {
  if (raw.hostTimeout !== undefined && raw.worker) {
    throw parse.badOption(
      '--host-timeout',
      raw.hostTimeout,
      "--no-worker with it: a job's own worker has one host only",
    )
  }
  const sandboxLoss = {
    ...given('policy', raw.sandboxLoss, (value) => parse.parseChoice('--sandbox-loss', value, lossPolicies)),
    ...given('hostLostMs', raw.hostTimeout, (value) => parse.parseDurationMs('--host-timeout', value)),
  }
  return Object.keys(sandboxLoss).length === 0 ? {} : { sandboxLoss }
}

function parseResources(raw: RawRunOptions): Pick<RunOptions, 'runtime'> {
  const resources = {
    ...given('cpus', raw.cpus, (value) => parse.parseCpus('--cpus', value)),
    ...given('memoryMiB', raw.memory, (value) => parse.parseMemoryMiB('--memory', value)),
  }
  return Object.keys(resources).length === 0 ? {} : { runtime: { resources } }
}

/** `{ [key]: parse(value) }` for an option that is there, else nothing. */
function given<Key extends string, Value>(
  key: Key,
  value: string | undefined,
  parseValue: (value: string) => Value,
): Partial<Record<Key, Value>> {
  if (value === undefined) return {}
  const record: Partial<Record<Key, Value>> = {}
  record[key] = parseValue(value)
  return record
}
