import { integrityClasses } from '../protocol/grade.ts'
import { jobIdPattern } from '../protocol/names.ts'
import { providerNames } from '../workers/providers.ts'
import { runDefaults } from '../client/run-defaults.ts'
import type { AgentOption } from '../client/index.ts'
import type { ProviderFlags } from './commands/command-options.ts'
import type { JobFile } from './job-file.ts'
import * as parse from './parse-values.ts'

/** Where results are exported when nothing else is said. */
export const defaultJobsDir = 'jobs'

/** Options of `rollcall run` as they are given on the command line; what is not given is absent. */
export interface RawRunOptions {
  readonly node?: string
  readonly provider?: string
  readonly providerArg?: readonly string[]
  readonly localNetwork?: boolean
  readonly unsafeLocal?: boolean
  readonly pool?: string
  readonly profiles?: string
  readonly poolName?: string
  readonly attempts?: string
  readonly concurrency?: string
  readonly job?: string
  readonly jobsDir?: string
  readonly tools?: readonly string[]
  readonly imageMap?: readonly string[]
  readonly cpus?: string
  readonly memory?: string
  readonly gpus?: string
  readonly image?: string
  readonly maxTurns?: string
  readonly maxTokens?: string
  readonly agentTimeout?: string
  readonly timeoutMultiplier?: string
  readonly agentTimeoutMultiplier?: string
  readonly verifierTimeoutMultiplier?: string
  readonly agentSetupTimeoutMultiplier?: string
  readonly environmentBuildTimeoutMultiplier?: string
  readonly ignoreDockerImage?: boolean
  readonly sandboxLoss?: string
  readonly hostTimeout?: string
  readonly requireIntegrity?: string
  readonly keep?: string
  readonly allowEnv?: readonly string[]
  readonly yes?: boolean
  readonly include?: readonly string[]
  readonly exclude?: readonly string[]
  readonly where?: readonly string[]
  readonly limit?: string
  readonly shuffle?: boolean
  readonly seed?: string
  readonly detach?: boolean
  readonly json?: boolean
  readonly failUnder?: string
  /** Commander's form of `--no-worker`. */
  readonly worker?: boolean
}

/** What lies below the command line. */
export interface Below {
  readonly agents?: readonly AgentOption[]
  /** Default `docker`. */
  readonly provider?: string
}

/**
 * What the command line says, as it could stand in a job file.
 * @param below.agents those of the command line, where it names any
 * @throws RollcallError `configuration-invalid`, one sentence
 */
export function parseRunOptions(raw: RawRunOptions, below: Below = {}): JobFile {
  return {
    ...(below.agents === undefined ? {} : { agents: [...below.agents] as NonNullable<JobFile['agents']> }),
    ...given('node', raw.node, (value) => value),
    ...parseGivenProvider(raw, below.provider ?? runDefaults.provider),
    ...parsePool(raw),
    ...given('attempts', raw.attempts, (value) => parse.parseCount('--attempts', value, { max: 1000 })),
    ...given('concurrency', raw.concurrency, (value) => parse.parseCount('--concurrency', value, { max: 10_000 })),
    ...given('tools', raw.tools, (files) => [...files]),
    ...given('imageMap', raw.imageMap, parseImageMap),
    ...given('worker', raw.worker, (value) => (value ? ('own' as const) : ('shared' as const))),
    ...given('job', raw.job, parseJobId),
    ...given('jobsDir', raw.jobsDir, (value) => value),
    ...parseLimits(raw),
    ...parseMultipliers(raw),
    ...given('ignoreDockerImage', raw.ignoreDockerImage, (value) => value),
    ...parseRuntime(raw),
    ...parseSelection(raw),
    ...given('allowEnv', raw.yes === true ? ('all' as const) : raw.allowEnv, (value) => parseAllowed(value)),
    ...given('detach', raw.detach, (value) => value),
    ...given('json', raw.json, (value) => value),
    ...given('failUnder', raw.failUnder, (value) => parse.parseReward('--fail-under', value)),
  }
}

function parsePool({ pool: profile, profiles, poolName: name }: RawRunOptions): Pick<JobFile, 'pool'> {
  const pool = {
    ...given('profile', profile, (value) => value),
    ...given('profiles', profiles, (value) => value),
    ...given('name', name, (value) => value),
  }
  return Object.keys(pool).length === 0 ? {} : { pool }
}

function parseAllowed(allowed: 'all' | readonly string[]): NonNullable<JobFile['allowEnv']> {
  if (allowed === 'all') return allowed
  const bad = allowed.find((name) => !/^[A-Za-z_][A-Za-z0-9_]*$/.test(name))
  if (bad !== undefined) throw parse.badOption('--allow-env', bad, 'the name of a variable, without $ and value')
  return [...allowed]
}

function parseSelection(
  raw: RawRunOptions,
): Pick<JobFile, 'include' | 'exclude' | 'where' | 'limit' | 'shuffle' | 'seed'> {
  return {
    ...given('include', raw.include, (globs) => [...globs]),
    ...given('exclude', raw.exclude, (globs) => [...globs]),
    ...given('where', raw.where, parseWhere),
    ...given('limit', raw.limit, (value) => parse.parseCount('--limit', value)),
    ...given('shuffle', raw.shuffle, (value) => value),
    ...given('seed', raw.seed, (value) => parse.parseCount('--seed', value, { min: 0, max: 0xffffffff })),
  }
}

/** The same key several times: any of the values. */
function parseWhere(pairs: readonly string[]): Record<string, string[]> {
  const where: Record<string, string[]> = {}
  for (const pair of pairs) {
    const at = pair.indexOf('=')
    if (at < 1) throw parse.badOption('--where', pair, 'KEY=VALUE, of the metadata of tasks')
    ;(where[pair.slice(0, at)] ??= []).push(pair.slice(at + 1))
  }
  return where
}

function parseGivenProvider(raw: RawRunOptions, below: string): Pick<JobFile, 'provider'> {
  const { provider, providerArg, localNetwork, unsafeLocal } = raw
  if ([provider, providerArg, localNetwork, unsafeLocal].every((one) => one === undefined)) return {}
  return { provider: parseProvider({ ...raw, provider: provider ?? below, providerArg: providerArg ?? [] }) }
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
export function parseProvider(raw: ProviderFlags): {
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

function localFlags(raw: Pick<ProviderFlags, 'localNetwork' | 'unsafeLocal'>) {
  return [
    ['--local-network', raw.localNetwork, 'network'],
    ['--unsafe-local', raw.unsafeLocal, 'unsafe'],
  ] as const
}

const keepPolicies = ['never', 'on-failure', 'always'] as const

function parseLimits(raw: RawRunOptions): JobFile {
  return {
    ...given('maxTurns', raw.maxTurns, (value) => parse.parseCount('--max-turns', value)),
    ...given('maxTokens', raw.maxTokens, (value) => parse.parseCount('--max-tokens', value)),
    ...given('agentTimeoutMs', raw.agentTimeout, (value) => parse.parseDurationMs('--agent-timeout', value)),
    ...parseSandboxLoss(raw),
    ...given('requireIntegrity', raw.requireIntegrity, (value) =>
      parse.parseChoice('--require-integrity', value, integrityClasses),
    ),
    ...given('keep', raw.keep, (value) => parse.parseChoice('--keep', value, keepPolicies)),
  }
}

const multiplierFlags = [
  ['all', '--timeout-multiplier', 'timeoutMultiplier'],
  ['agent', '--agent-timeout-multiplier', 'agentTimeoutMultiplier'],
  ['verifier', '--verifier-timeout-multiplier', 'verifierTimeoutMultiplier'],
  ['agentSetup', '--agent-setup-timeout-multiplier', 'agentSetupTimeoutMultiplier'],
  ['environmentBuild', '--environment-build-timeout-multiplier', 'environmentBuildTimeoutMultiplier'],
] as const

function parseMultipliers(raw: RawRunOptions): Pick<JobFile, 'timeoutMultipliers'> {
  const found = multiplierFlags.map(([phase, flag, key]) =>
    given(phase, raw[key], (value) => parse.parseMultiplier(flag, value)),
  )
  const timeoutMultipliers: NonNullable<JobFile['timeoutMultipliers']> = Object.assign({}, ...found)
  return Object.keys(timeoutMultipliers).length === 0 ? {} : { timeoutMultipliers }
}

const lossPolicies = ['fail', 'restart'] as const

function parseSandboxLoss(raw: RawRunOptions): Pick<JobFile, 'sandboxLoss'> {
  const sandboxLoss = {
    ...given('policy', raw.sandboxLoss, (value) => parse.parseChoice('--sandbox-loss', value, lossPolicies)),
    ...given('hostLostMs', raw.hostTimeout, (value) => parse.parseDurationMs('--host-timeout', value)),
  }
  return Object.keys(sandboxLoss).length === 0 ? {} : { sandboxLoss }
}

function parseRuntime(raw: RawRunOptions): Pick<JobFile, 'runtime'> {
  const resources = {
    ...given('cpus', raw.cpus, (value) => parse.parseCpus('--cpus', value)),
    ...given('memoryMiB', raw.memory, (value) => parse.parseMemoryMiB('--memory', value)),
    ...given('gpus', raw.gpus, (value) => ({ count: parse.parseCount('--gpus', value, { min: 0 }) })),
  }
  const runtime = {
    ...given('image', raw.image, parseImage),
    ...(Object.keys(resources).length === 0 ? {} : { resources }),
  }
  return Object.keys(runtime).length === 0 ? {} : { runtime }
}

function parseImage(name: string): string {
  if (/^\S+$/.test(name)) return name
  throw parse.badOption('--image', name, 'an image name such as debian:bookworm-slim')
}

/** `{ [key]: parse(value) }` for an option that is there, else nothing. */
function given<Key extends string, Raw, Value>(
  key: Key,
  value: Raw | undefined,
  parseValue: (value: Raw) => Value,
): Partial<Record<Key, Value>> {
  if (value === undefined) return {}
  const record: Partial<Record<Key, Value>> = {}
  record[key] = parseValue(value)
  return record
}
