import { RollcallError } from '../../protocol/failure.ts'

type Options = Readonly<Record<string, string>>

/** Where in which account sandboxes are made, and what all of them have. */
export interface ModalSettings {
  readonly tokenId: string
  readonly tokenSecret: string
  /** App that sandboxes belong to, made if absent. Names are unique in it. */
  readonly app: string
  /** Default: the account's own. */
  readonly environment?: string
  /** For tasks that ask for GPUs and name no type, like `A100`. Default: what a task asks for. */
  readonly gpu?: string
  /** Default: Modal's choice. */
  readonly regions?: readonly string[]
  readonly cloud?: string
  /** Secrets of the account, by name, that every sandbox gets. */
  readonly secrets: readonly string[]
  /** Secret of the account, by name, for a private registry: REGISTRY_USERNAME and REGISTRY_PASSWORD. */
  readonly registrySecret?: string
  /** Tasks that state storage or pids, which Modal cannot limit, run without. Default false. */
  readonly ignoreLimits: boolean
}

/** Names for `--provider-arg`. */
export const modalSettingNames: readonly string[] = [
  'app',
  'environment',
  'gpu',
  'region',
  'cloud',
  'secrets',
  'registry-secret',
  'limits',
]

const namePattern = /^[A-Za-z0-9][A-Za-z0-9._-]{0,63}$/

/**
 * Reads settings and credentials; reaches nothing.
 * @param env MODAL_TOKEN_ID and MODAL_TOKEN_SECRET, as `modal token new` shows them
 * @throws `provider-auth` without credentials, `configuration-invalid` for a setting
 */
export function modalSettings(options: Options, env: Readonly<Record<string, string | undefined>>): ModalSettings {
  const names = (setting: string) => (options[setting] ?? '').split(',').filter((name) => name !== '')
  const regions = names('region').map((region) => named('region', region))
  return {
    tokenId: credential(env, 'MODAL_TOKEN_ID'),
    tokenSecret: credential(env, 'MODAL_TOKEN_SECRET'),
    app: named('app', options['app'] ?? 'rollcall'),
    ...optional(options, 'environment'),
    ...optional(options, 'gpu'),
    ...optional(options, 'cloud'),
    ...(regions.length > 0 && { regions }),
    ...(options['registry-secret'] !== undefined && {
      registrySecret: named('registry-secret', options['registry-secret']),
    }),
    secrets: names('secrets').map((secret) => named('secrets', secret)),
    ignoreLimits: ignoresLimits(options['limits'] ?? 'enforce'),
  }
}

function optional<K extends 'environment' | 'gpu' | 'cloud'>(options: Options, name: K): { [P in K]?: string } {
  const value = options[name]
  const parsed: { [P in K]?: string } = {}
  if (value !== undefined) parsed[name] = named(name, value)
  return parsed
}

function credential(env: Readonly<Record<string, string | undefined>>, name: string): string {
  const value = env[name]
  if (value !== undefined && value !== '') return value
  throw new RollcallError(
    'provider-auth',
    `Provider modal has no credentials: expected ${name} in the worker's environment. \`modal token new\` makes a token; set MODAL_TOKEN_ID and MODAL_TOKEN_SECRET to it.`,
  )
}

function ignoresLimits(value: string): boolean {
  if (value === 'enforce' || value === 'ignore') return value === 'ignore'
  throw badSetting('limits', value, 'enforce or ignore')
}

function named(setting: string, value: string): string {
  if (namePattern.test(value)) return value
  throw badSetting(setting, value, 'a name of letters, digits and . _ -, at most 64')
}

function badSetting(name: string, value: string, expected: string): RollcallError {
  return new RollcallError(
    'configuration-invalid',
    `Provider setting ${name} is ${JSON.stringify(value)}: expected ${expected}`,
  )
}
