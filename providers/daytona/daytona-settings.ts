import { RollcallError } from '../../protocol/failure.ts'

/** Settings of `--provider-arg`. */
export const daytonaSettings = ['api-url', 'target', 'secrets', 'limits'] as const

const defaultApiUrl = 'https://app.daytona.io/api'

/** One account (organisation) of Daytona, and how to speak for it. */
export interface DaytonaAccess {
  readonly apiKey: string
  /** Without a slash at its end. */
  readonly apiUrl: string
  /** Region; without it the organisation's own. */
  readonly target?: string
  /** The organisation that the key must belong to; without it any. */
  readonly organizationId?: string
  /** Secrets of Daytona's own store, by the variable that sandboxes find them in. */
  readonly secrets?: Readonly<Record<string, string>>
}

/**
 * The account that settings and the worker's environment name; settings go first.
 * @throws `provider-auth` without DAYTONA_API_KEY; `configuration-invalid` for a setting that cannot be
 */
export function daytonaAccess(
  options: Readonly<Record<string, string>>,
  env: Readonly<Record<string, string | undefined>>,
): DaytonaAccess {
  const apiKey = env['DAYTONA_API_KEY']
  if (apiKey === undefined || apiKey === '') {
    throw new RollcallError(
      'provider-auth',
      'Provider daytona has no credential: set DAYTONA_API_KEY in the environment of the worker',
    )
  }
  const target = options['target'] ?? env['DAYTONA_TARGET']
  const organizationId = env['DAYTONA_ORGANIZATION_ID']
  const { secrets } = options
  return {
    apiKey,
    apiUrl: checkedUrl(options['api-url'] ?? env['DAYTONA_API_URL'] ?? defaultApiUrl),
    ...(target !== undefined && { target }),
    ...(organizationId !== undefined && { organizationId }),
    ...(secrets !== undefined && { secrets: parseSecrets(secrets) }),
  }
}

/** The key is sent there, so nothing but this machine may be spoken to in the clear. */
function checkedUrl(text: string): string {
  const url = URL.parse(text)
  const isHere = url !== null && ['127.0.0.1', 'localhost', '[::1]'].includes(url.hostname)
  if (url?.protocol === 'https:' || (url?.protocol === 'http:' && isHere)) return text.replace(/\/+$/, '')
  throw badSetting('api-url', text, 'an address that begins with https://')
}

/** `NAME=secret,NAME=secret` */
function parseSecrets(text: string): Record<string, string> {
  const pairs = text.split(',').map((pair) => /^([A-Za-z_]\w*)=(\S+)$/.exec(pair.trim()))
  return Object.fromEntries(
    pairs.map((pair) => {
      const [, variable, secret] = pair ?? []
      if (variable !== undefined && secret !== undefined) return [variable, secret]
      throw badSetting('secrets', text, 'VARIABLE=NAME-OF-A-DAYTONA-SECRET, several with commas between')
    }),
  )
}

function badSetting(name: string, value: string, expected: string): RollcallError {
  return new RollcallError(
    'configuration-invalid',
    `Provider setting ${name} is ${JSON.stringify(value)}: expected ${expected}`,
  )
}
