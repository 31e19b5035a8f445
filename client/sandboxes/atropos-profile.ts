import { z } from 'zod'

/**
 * Profiles as Atropos' ModalToolBackend writes them: their names, units and defaults, as docs/pools.md lists them. Every
 * key that is not here is an error, and so is a value that is not of its kind.
 */

const secondsMs = z
  .number('a number of seconds')
  .positive('a number of seconds above 0')
  .transform((seconds) => Math.round(seconds * 1_000))
const text = z.string('text').min(1, 'text that is not empty')

/** `A100`, `H100:2`. */
const gpu = z
  .string('the type of a GPU, as "A100" or "A100:2"')
  .regex(/^[A-Za-z][A-Za-z0-9-]*(:[1-9][0-9]?)?$/, 'the type of a GPU, as "A100" or "A100:2"')
  .transform((value) => {
    const [type = '', count = '1'] = value.split(':')
    return type.toLowerCase() === 'any' ? { count: Number(count) } : { count: Number(count), types: [type] }
  })

export const atroposProfileSchema = z
  .strictObject({
    /** Modal's app; a pool's name tells pools apart here. */
    app_name: z.null('nothing: pools are told apart by the name of the pool').optional(),
    image: text.default('python:3.11'),
    gpu: gpu.nullable().default(null),
    cpu: z.number('a number of CPUs').positive('a number of CPUs above 0').default(1),
    memory: z.int('a whole number of MiB').positive('a whole number of MiB above 0').default(2048),
    slots_per_sandbox: z.int('a whole number').default(10),
    min_sandboxes: z.int('a whole number').optional(),
    max_sandboxes: z.int('a whole number').optional(),
    /** As its example file calls them. */
    min_pool: z.int('a whole number').optional(),
    max_pool: z.int('a whole number').optional(),
    idle_timeout: secondsMs.default(120_000),
    max_lifetime: secondsMs.default(3_600_000),
    acquire_timeout_s: secondsMs.default(60_000),
    acquire_timeout: secondsMs.optional(),
    execution_timeout_s: secondsMs.default(30_000),
    execution_timeout: secondsMs.optional(),
    secrets: z.array(z.string(), 'a list of names').default([]),
    env_vars: z.record(z.string(), z.union([z.string(), z.number(), z.boolean()]), 'a table').default({}),
    workspace_base: text.optional(),
    workdir: text.optional(),
  })
  .superRefine((profile, context) => {
    for (const [first, second] of aliases) {
      if (profile[first] === undefined || profile[second] === undefined) continue
      context.addIssue({ code: 'custom', path: [second], message: `nothing beside ${first}, which means the same` })
    }
  })
  .transform((from) => ({
    runtime: {
      image: from.image,
      resources: { cpus: from.cpu, memoryMiB: from.memory, ...(from.gpu === null ? {} : { gpus: from.gpu }) },
      env: Object.fromEntries(Object.entries(from.env_vars).map(([name, value]) => [name, String(value)])),
      secrets: from.secrets,
    },
    slotsPerSandbox: from.slots_per_sandbox,
    slotUser: 'own' as const,
    minSandboxes: from.min_sandboxes ?? from.min_pool ?? 1,
    maxSandboxes: from.max_sandboxes ?? from.max_pool ?? 5,
    idleTimeoutMs: from.idle_timeout,
    maxLifetimeMs: from.max_lifetime,
    acquireTimeoutMs: from.acquire_timeout ?? from.acquire_timeout_s,
    execTimeoutMs: from.execution_timeout ?? from.execution_timeout_s,
    workspaceBase: from.workspace_base ?? from.workdir ?? '/data',
  }))

const aliases = [
  ['min_sandboxes', 'min_pool'],
  ['max_sandboxes', 'max_pool'],
  ['workspace_base', 'workdir'],
] as const

/** What only Atropos' profiles have: a file with one of them is one of theirs. */
const atroposKeys = [
  'app_name image gpu cpu memory slots_per_sandbox min_sandboxes max_sandboxes min_pool max_pool idle_timeout',
  'max_lifetime acquire_timeout_s acquire_timeout execution_timeout_s execution_timeout env_vars workspace_base workdir',
].flatMap((line) => line.split(' '))

export function isAtroposProfile(value: object): boolean {
  return Object.keys(value).some((key) => atroposKeys.includes(key))
}

type Env = Readonly<Record<string, string | undefined>>

const wholeNumbers = ['MEMORY', 'SLOTS_PER_SANDBOX', 'MIN_SANDBOXES', 'MAX_SANDBOXES']
const numbers = ['CPU', 'IDLE_TIMEOUT', 'MAX_LIFETIME', 'ACQUIRE_TIMEOUT', 'EXECUTION_TIMEOUT', ...wholeNumbers]
const texts = ['IMAGE', 'GPU', 'WORKSPACE_BASE']
const keys = [...texts, ...numbers, 'SECRETS', 'ENV_VARS']

/** Whether any `ATROPOS_MODAL_*` variable says something about profiles. */
export function hasAtroposVariables(env: Env): boolean {
  return Object.entries(env).some(([name, value]) => name.startsWith('ATROPOS_MODAL_') && value !== undefined)
}

/**
 * The profiles that `ATROPOS_MODAL_PROFILES` names (`default` is always among them), each as its file form would be.
 * @returns by name; with `variables`, where each field came from
 */
export function atroposVariableProfiles(
  env: Env,
): Record<string, { fields: object; variables: Record<string, string> }> {
  const named = (env['ATROPOS_MODAL_PROFILES'] ?? '').split(',').map((name) => name.trim())
  const names = [...new Set(['default', ...named.filter((name) => name !== '')])]
  return Object.fromEntries(names.map((name) => [name, variableProfile(name, env)]))
}

/** Those that say nothing to any of these profiles: misspelt, or of a profile that is not listed. */
export function unreadAtroposVariables(env: Env, profiles: readonly string[]): string[] {
  const prefixes = ['ATROPOS_MODAL_', ...profiles.map((name) => `ATROPOS_MODAL_PROFILE_${variablePart(name)}_`)]
  const read = new Set(prefixes.flatMap((prefix) => keys.map((key) => `${prefix}${key}`)))
  read.add('ATROPOS_MODAL_PROFILES').add('ATROPOS_MODAL_PROFILES_FILE')
  return Object.keys(env).filter((name) => name.startsWith('ATROPOS_MODAL_') && env[name] && !read.has(name))
}

function variableProfile(name: string, env: Env): { fields: object; variables: Record<string, string> } {
  const fields: Record<string, unknown> = {}
  const variables: Record<string, string> = {}
  for (const key of keys) {
    const own = `ATROPOS_MODAL_PROFILE_${variablePart(name)}_${key}`
    const variable = env[own] ? own : `ATROPOS_MODAL_${key}`
    const value = env[variable]
    if (!value) continue
    fields[key.toLowerCase()] = fieldOf(key, value)
    variables[key.toLowerCase()] = variable
  }
  return { fields, variables }
}

/** Two profiles whose variables would be the same ones cannot be told apart. */
export function variablePart(name: string): string {
  return name.toUpperCase().replaceAll('-', '_')
}

/** What is not of its kind stays text, which the schema then refuses. */
function fieldOf(key: string, value: string): unknown {
  if (numbers.includes(key)) return value.trim() === '' || Number.isNaN(Number(value)) ? value : Number(value)
  if (key === 'SECRETS') {
    const names = value.split(',').map((name) => name.trim())
    return names.filter((name) => name !== '')
  }
  return key === 'ENV_VARS' ? pairsOf(value) : value
}

function pairsOf(value: string): unknown {
  const pairs = value.split(';').filter((pair) => pair.trim() !== '')
  if (pairs.some((pair) => !/^\s*[A-Za-z_]\w*\s*=/.test(pair))) return value
  return Object.fromEntries(pairs.map((pair) => [pair.split('=')[0]?.trim(), pair.slice(pair.indexOf('=') + 1).trim()]))
}
