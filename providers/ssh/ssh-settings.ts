import { readFile } from 'node:fs/promises'
import { userInfo } from 'node:os'
import { join, resolve } from 'node:path'
import { RollcallError } from '../../protocol/failure.ts'
import type { SshProviderOptions } from './ssh-provider.ts'
import type { SshCredential, SshTarget } from './ssh-target.ts'

export const sshSettings = [
  'host',
  'port',
  'user',
  'key',
  'fingerprint',
  'known-hosts',
  'accept-new',
  'workspace',
  'network',
  'limits',
]

type Options = Readonly<Record<string, string>>

export interface SshEnvironment {
  /** Where credentials are looked up. */
  readonly env: Readonly<Record<string, string | undefined>>
  readonly stateDirectory: string
}

/**
 * The host that `--provider-arg` names, with the credential that this worker has for it: a key file, or else
 * ROLLCALL_SSH_PASSWORD, or else the agent of SSH_AUTH_SOCK, or else the user's own key.
 * @throws RollcallError `configuration-invalid`
 */
export async function sshPlace(
  options: Options,
  config: SshEnvironment,
): Promise<Pick<SshProviderOptions, 'target' | 'workspace'>> {
  const { env } = config
  const target = {
    host: matching(options, 'host', { pattern: /^[A-Za-z0-9:._-]+$/, expected: 'a host name or address' }),
    port: port(options['port'] ?? '22'),
    user: matching({ user: options['user'] ?? userInfo().username }, 'user', {
      pattern: /^[^\s@]+$/,
      expected: 'a user name on the host',
    }),
    credential: await credential(options, env),
    hostKey: hostKey(options, config),
  }
  const workspace = matching({ workspace: options['workspace'] ?? 'rollcall' }, 'workspace', {
    pattern: /^[A-Za-z0-9._/-]*[A-Za-z0-9._-][A-Za-z0-9._/-]*$/,
    expected: 'a path of letters, digits and . _ - / on the host',
  })
  return { target, workspace }
}

function hostKey(options: Options, { env, stateDirectory }: SshEnvironment): SshTarget['hostKey'] {
  if (options['fingerprint'] !== undefined) {
    const expected = 'SHA256: and 43 characters, as ssh-keygen -l prints it'
    const fingerprint = matching(options, 'fingerprint', { pattern: /^SHA256:[A-Za-z0-9+/]{43}$/, expected })
    return { type: 'fingerprint', fingerprint }
  }
  const named = options['known-hosts']
  const users = env['HOME'] === undefined ? [] : [join(env['HOME'], '.ssh', 'known_hosts')]
  const files = named === undefined ? [...users, join(stateDirectory, 'known_hosts')] : [resolve(named)]
  return { type: 'known-hosts', files, acceptNew: isTrue(options, 'accept-new') }
}

async function credential(options: Options, env: SshEnvironment['env']): Promise<SshCredential> {
  const passphrase = env['ROLLCALL_SSH_PASSPHRASE']
  const withKey = (privateKey: string): SshCredential => ({
    type: 'key',
    privateKey,
    ...(passphrase !== undefined && { passphrase }),
  })
  const key = options['key']
  if (key !== undefined) return withKey(await readKey(resolve(key)))
  const password = env['ROLLCALL_SSH_PASSWORD']
  if (password !== undefined) return { type: 'password', password }
  const socket = env['SSH_AUTH_SOCK']
  if (socket !== undefined && socket !== '') return { type: 'agent', socket }
  for (const name of ['id_ed25519', 'id_ecdsa', 'id_rsa']) {
    const own = await readFile(join(env['HOME'] ?? '/', '.ssh', name), 'utf8').catch(() => undefined)
    if (own !== undefined) return withKey(own)
  }
  throw new RollcallError(
    'provider-auth',
    'Provider ssh has no credential: expected --provider-arg key=FILE, or ROLLCALL_SSH_PASSWORD, SSH_AUTH_SOCK or a key in ~/.ssh of the worker',
  )
}

async function readKey(path: string): Promise<string> {
  try {
    return await readFile(path, 'utf8')
  } catch (error) {
    const reason = error instanceof Error ? error.message : String(error)
    throw badSetting('key', path, `a private key that this worker can read (${reason})`)
  }
}

function port(text: string): number {
  const value = Number(text)
  if (Number.isInteger(value) && value > 0 && value < 65_536) return value
  throw badSetting('port', text, 'a port from 1 to 65535')
}

function isTrue(options: Options, name: string): boolean {
  const value = options[name] ?? 'false'
  if (value === 'true' || value === 'false') return value === 'true'
  throw badSetting(name, value, 'true or false')
}

function matching(options: Options, name: string, wanted: { pattern: RegExp; expected: string }): string {
  const value = options[name] ?? ''
  if (wanted.pattern.test(value)) return value
  throw badSetting(name, value, wanted.expected)
}

function badSetting(name: string, value: string, expected: string): RollcallError {
  return new RollcallError(
    'configuration-invalid',
    `Provider setting ${name} is ${JSON.stringify(value)}: expected ${expected}`,
  )
}
