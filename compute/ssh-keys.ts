import { chmod, mkdir, readdir, readFile, rm, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import type { ParsedKey } from 'ssh2'
import { RollcallError } from '../protocol/failure.ts'
import { fingerprintOf } from '../providers/ssh/known-hosts.ts'
import type { ComputeNode } from './node.ts'

export interface StoredKey {
  readonly name: string
  /** `ssh-ed25519`, `ssh-rsa` … */
  readonly type: string
  /** `SHA256:…` */
  readonly fingerprint: string
  /** The line for a node's authorized_keys. */
  readonly publicKey: string
  /** Path of the private key, for `--key` and `--provider-arg key=`. */
  readonly path: string
  readonly hasPassphrase: boolean
}

export interface NewKey {
  readonly name: string
  /** `rsa` has 4096 bits. Default `ed25519`. */
  readonly type?: 'ed25519' | 'rsa'
  /** Encrypts the private key. Default: none. */
  readonly passphrase?: string
}

const namePattern = /^[A-Za-z0-9][A-Za-z0-9._-]{0,62}$/

/** Keys for nodes that Rollcall keeps: `<stateDirectory>/keys`, 0700, private keys 0600. */
export class SshKeys {
  readonly #folder: string

  constructor(stateDirectory: string) {
    this.#folder = join(stateDirectory, 'keys')
  }

  /** @throws RollcallError `configuration-invalid` for a name that is none, or that is taken */
  async generate({ name, type = 'ed25519', passphrase }: NewKey): Promise<StoredKey> {
    const { utils } = await loadSsh2()
    const locked = passphrase === undefined ? {} : { passphrase, cipher: 'aes256-ctr', rounds: 24 }
    const comment = `rollcall ${name}`
    const make = () =>
      type === 'rsa'
        ? utils.generateKeyPairSync('rsa', { bits: 4096, comment, ...locked })
        : utils.generateKeyPairSync('ed25519', { comment, ...locked })
    let pair = make()
    // Of 250 keys that ssh2 writes one cannot be read again, neither by itself nor by OpenSSH (measured with 1.17.0).
    while (!signs(utils.parseKey(pair.private, passphrase))) pair = make()
    return await this.#keep({ name, privateKey: pair.private, publicKey: pair.public })
  }

  /**
   * Keeps a copy of a private key.
   * @param passphrase needed to read its public half, where it has one
   * @throws RollcallError `configuration-invalid` for a file that holds no private key, or cannot be opened
   */
  async import(name: string, path: string, passphrase?: string): Promise<StoredKey> {
    const { utils } = await loadSsh2()
    const privateKey = await readFile(path, 'utf8').catch((error: unknown) => {
      throw invalid(`Key file is ${JSON.stringify(path)}: ${error instanceof Error ? error.message : String(error)}`)
    })
    const parsed = utils.parseKey(privateKey, passphrase)
    if (parsed instanceof Error) throw invalid(`Key file is ${JSON.stringify(path)}: ${parsed.message}`)
    const [key] = [parsed].flat()
    if (key === undefined || !key.isPrivateKey())
      throw invalid(`Key file is ${JSON.stringify(path)}: expected a private key`)
    const publicKey = `${key.type} ${key.getPublicSSH().toString('base64')} rollcall ${name}`
    return await this.#keep({ name, privateKey, publicKey })
  }

  async list(): Promise<StoredKey[]> {
    const names = await readdir(this.#folder).catch(() => [])
    const own = names.filter((name) => name.endsWith('.pub')).map((name) => name.slice(0, -'.pub'.length))
    return await Promise.all(own.toSorted().map((name) => this.get(name)))
  }

  /** @throws RollcallError `configuration-invalid` naming those that there are */
  async get(name: string): Promise<StoredKey> {
    const path = this.#path(name)
    const { utils } = await loadSsh2()
    try {
      const [publicKey, privateKey] = await Promise.all([readFile(`${path}.pub`, 'utf8'), readFile(path, 'utf8')])
      const [type = '', base64 = ''] = publicKey.split(' ')
      const hasPassphrase = utils.parseKey(privateKey) instanceof Error
      const fingerprint = fingerprintOf(Buffer.from(base64, 'base64'))
      return { name, type, fingerprint, publicKey: publicKey.trim(), path, hasPassphrase }
    } catch (error) {
      if (!(error instanceof Error && 'code' in error && error.code === 'ENOENT')) throw error
      throw invalid(`Key is ${JSON.stringify(name)}: no such key is kept here (rollcall nodes keys list)`)
    }
  }

  /** @throws RollcallError `configuration-invalid` while a node uses it */
  async remove(name: string, nodes: readonly ComputeNode[]): Promise<void> {
    const { path } = await this.get(name)
    const users = nodes.filter(({ settings }) => settings['key'] === path).map((node) => node.name)
    if (users.length > 0) throw invalid(`Key ${name} is used by ${users.join(', ')}: expected a key that no node uses`)
    await rm(path)
    await rm(`${path}.pub`)
  }

  async #keep(key: { name: string; privateKey: string; publicKey: string }): Promise<StoredKey> {
    const path = this.#path(key.name)
    await mkdir(this.#folder, { recursive: true, mode: 0o700 })
    await chmod(this.#folder, 0o700)
    try {
      await writeFile(path, key.privateKey, { mode: 0o600, flag: 'wx' })
    } catch (error) {
      if (!(error instanceof Error && 'code' in error && error.code === 'EEXIST')) throw error
      throw invalid(`Key ${key.name} is there already: expected a new name, or remove that one first`)
    }
    await writeFile(`${path}.pub`, `${key.publicKey.trim()}\n`, { mode: 0o600 })
    return await this.get(key.name)
  }

  #path(name: string): string {
    if (namePattern.test(name) && !name.endsWith('.pub')) return join(this.#folder, name)
    throw invalid(`Key name is ${JSON.stringify(name)}: expected 1 to 63 letters, digits and . _ -, not ending in .pub`)
  }
}

function signs(parsed: ParsedKey | Error): boolean {
  if (parsed instanceof Error) return false
  const signature = parsed.sign('rollcall')
  if (signature instanceof Error) return false
  // Of ssh2, an Error where its types say false.
  const isVerified: unknown = parsed.verify('rollcall', signature)
  return isVerified === true
}

async function loadSsh2() {
  try {
    const { default: ssh2 } = await import('ssh2')
    return ssh2
  } catch (error) {
    const message = 'Keys need the package ssh2, which is not installed: npm install ssh2@1.17.0'
    throw new RollcallError('configuration-invalid', message, { cause: error })
  }
}

function invalid(message: string): RollcallError {
  return new RollcallError('configuration-invalid', message)
}
