import { z } from 'zod'

/**
 * Every field of Harbor's task.toml, schema 1.0 to 1.4 with the legacy forms. Each message is the expectation that a
 * problem report prints after "expected". What this version cannot honour is refused in `harbor-unsupported.ts`, so
 * that a known field is never mistaken for a misspelled one.
 */

const text = z.string('text in quotes').refine((value) => !value.includes('\0'), 'text without a NUL character')
const texts = z.array(text, 'a list of texts')
const flag = z.boolean('true or false')
const seconds = z.number('a number of seconds above 0').positive('a number of seconds above 0').finite()
const secondsOrZero = z.number('a number of seconds, 0 or more').min(0, 'a number of seconds, 0 or more')
const count = z.int('a whole number, 0 or more').min(0, 'a whole number, 0 or more')
const mebibytes = z.int('a whole number of mebibytes above 0').positive('a whole number of mebibytes above 0')
const absolutePath = text.refine((path) => path.startsWith('/'), 'an absolute path')
const free = z.record(z.string(), z.unknown(), 'a table')

const size = text.regex(/^\d+(\.\d+)?\s*[KMGT](i?B)?$/i, 'a size such as "2G" or "512M"')
const image = text.regex(/^[^\s]+$/, 'an image name such as "debian:bookworm-slim"')
const userName = text.regex(/^[a-z0-9_][a-z0-9_.-]*$/i, 'a user name or uid')
const user = z.union([userName, z.int().min(0, 'a user name or uid')], 'a user name or uid')
const schemaVersion = z.enum(['1.0', '1.1', '1.2', '1.3', '1.4'], 'one of "1.0", "1.1", "1.2", "1.3", "1.4"')

const environmentName = z.string().regex(/^[A-Za-z_][A-Za-z0-9_]*$/, 'a variable name of letters, digits and _')
const env = z.record(environmentName, text, 'a table of texts')

const networkMode = z.enum(['public', 'no-network', 'allowlist'], 'one of "public", "no-network", "allowlist"')
const host = text.regex(
  /^(\*\.)?[a-z0-9]([a-z0-9.-]*[a-z0-9])?$|^[0-9a-f:.]+(\/\d{1,3})?$/i,
  'a host name, *.domain, IP address or CIDR, without scheme and port',
)
const networkPolicy = {
  network_mode: networkMode.optional(),
  allowed_hosts: z.array(host, 'a list of hosts').optional(),
}

const command = text.refine((value) => value.trim() !== '', 'a shell command')

const source = text
  .refine((path) => path.trim() !== '', 'a path in the sandbox')
  .refine((path) => !climbs(path), 'a path without ".." in it')

const healthcheck = z.strictObject(
  {
    command,
    interval_sec: secondsOrZero.optional(),
    timeout_sec: seconds.optional(),
    start_period_sec: secondsOrZero.optional(),
    start_interval_sec: secondsOrZero.optional(),
    retries: count.optional(),
  },
  'a table',
)

const environment = z.strictObject(
  {
    ...networkPolicy,
    build_timeout_sec: seconds.optional(),
    docker_image: image.optional(),
    os: z.preprocess(lowered, z.enum(['linux', 'windows'], '"linux"')).optional(),
    cpus: z.number('a number of CPUs above 0').positive('a number of CPUs above 0').optional(),
    memory_mb: mebibytes.optional(),
    storage_mb: mebibytes.optional(),
    gpus: count.optional(),
    gpu_types: texts.optional(),
    tpu: free.optional(),
    mcp_servers: z.array(free, 'a list of tables').optional(),
    env: env.optional(),
    skills_dir: source.optional(),
    workdir: absolutePath.optional(),
    healthcheck: healthcheck.optional(),
    memory: size.optional(),
    storage: size.optional(),
    allow_internet: flag.optional(),
  },
  'a table',
)

const destination = text.refine(
  (path) => !path.startsWith('/') && !climbs(path) && !path.includes('\\'),
  'a path relative to artifacts/, without ".." and \\',
)
const artifactTable = z.strictObject(
  {
    source,
    destination: destination
      .refine((path) => path.replace(/\/+$/, '') !== 'manifest.json', 'another name: manifest.json is the manifest’s')
      .optional(),
    exclude: texts.optional(),
    service: text.optional(),
  },
  'a path in quotes, or a table',
)
/** A discriminating preprocess instead of a union, so that what is wrong within a table keeps its field's name. */
const artifact = z.preprocess((given) => (typeof given === 'string' ? { source: given } : given), artifactTable)
const artifacts = z.array(artifact, 'a list of paths')

function lowered(given: unknown): unknown {
  return typeof given === 'string' ? given.toLowerCase() : given
}

function climbs(path: string): boolean {
  return path.split('/').includes('..')
}

const agent = z.strictObject({ ...networkPolicy, timeout_sec: seconds.optional(), user: user.optional() }, 'a table')

const collect = z.strictObject(
  { command, service: text.optional(), timeout_sec: seconds.optional(), user: user.optional() },
  'a table',
)

const verifier = z.strictObject(
  {
    ...networkPolicy,
    timeout_sec: seconds.optional(),
    env: env.optional(),
    user: user.optional(),
    environment_mode: z.enum(['shared', 'separate'], '"shared" or "separate"').optional(),
    environment: environment.optional(),
    collect: z.array(collect, 'a list of tables').optional(),
  },
  'a table',
)

const reward = z.number('a finite number').finite()
const minReward = z.union([reward, z.record(z.string(), reward)], 'a number, or a table of numbers by reward')

const stepName = text.regex(
  /^[A-Za-z0-9_][A-Za-z0-9_. -]{0,79}$/,
  'the name of a folder below steps/: letters, digits, spaces, _ . and -, beginning with a letter, digit or _',
)
const step = z.strictObject(
  {
    name: stepName,
    agent: agent.optional(),
    verifier: verifier.optional(),
    min_reward: minReward.optional(),
    healthcheck: healthcheck.optional(),
    artifacts: artifacts.optional(),
  },
  'a table',
)

const packageIdentity = z.strictObject(
  {
    name: text.optional(),
    version: text.optional(),
    description: text.optional(),
    authors: z
      .array(z.strictObject({ name: text.optional(), email: text.optional() }, 'a table'), 'a list of tables')
      .optional(),
    keywords: texts.optional(),
  },
  'a table',
)

export const harborTaskSchema = z.strictObject({
  schema_version: schemaVersion.optional(),
  version: schemaVersion.optional(),
  source: text.optional(),
  multi_step_reward_strategy: z.enum(['mean', 'final'], '"mean" or "final"').optional(),
  artifacts: artifacts.optional(),
  steps: z.array(step, 'a list of tables').optional(),
  task: packageIdentity.optional(),
  metadata: free.optional(),
  agent: agent.optional(),
  verifier: verifier.optional(),
  solution: z.strictObject({ env: env.optional() }, 'a table').optional(),
  environment: environment.optional(),
})

export type HarborTaskFile = z.infer<typeof harborTaskSchema>
export type HarborEnvironment = z.infer<typeof environment>
export type HarborVerifier = z.infer<typeof verifier>
export type HarborHealthcheck = z.infer<typeof healthcheck>
export type HarborArtifact = z.infer<typeof artifact>
export type HarborStep = z.infer<typeof step>
