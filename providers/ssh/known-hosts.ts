import { createHash, createHmac } from 'node:crypto'
import picomatch from 'picomatch'

/** What files in the form of sshd(8), SSH_KNOWN_HOSTS FILE FORMAT, say about one host. */
export interface KnownHost {
  readonly keys: readonly KnownKey[]
}

interface KnownKey {
  readonly type: string
  /** The key itself, as it goes over the wire. */
  readonly blob: Buffer
  readonly revoked: boolean
}

/** `SHA256:…`, as `ssh-keygen -l` writes it. */
export function fingerprintOf(blob: Buffer): string {
  return `SHA256:${createHash('sha256').update(blob).digest('base64').replace(/=+$/, '')}`
}

/** Lines of certificate authorities are left out: ssh2 takes no certificates. */
export function lookUpHost(text: string, at: { host: string; port: number }): KnownHost {
  const name = at.port === 22 ? at.host.toLowerCase() : `[${at.host.toLowerCase()}]:${at.port}`
  const keys = text.split('\n').flatMap((line): KnownKey[] => {
    const words = line.trim().split(/\s+/)
    if (words[0] === '' || words[0]?.startsWith('#') || words[0] === '@cert-authority') return []
    const revoked = words[0] === '@revoked'
    const [hosts, type, base64] = revoked ? words.slice(1) : words
    if (hosts === undefined || type === undefined || base64 === undefined || !namesHost(hosts, name)) return []
    return [{ type, blob: Buffer.from(base64, 'base64'), revoked }]
  })
  return { keys }
}

export type HostKeyVerdict = 'known' | 'unknown' | 'changed' | 'revoked'

export function judgeHostKey({ keys }: KnownHost, blob: Buffer): HostKeyVerdict {
  const same = keys.filter((key) => key.blob.equals(blob))
  if (same.some(({ revoked }) => revoked)) return 'revoked'
  if (same.length > 0) return 'known'
  return keys.some(({ revoked }) => !revoked) ? 'changed' : 'unknown'
}

/** A line for a file of known hosts. */
export function knownHostLine(at: { host: string; port: number }, blob: Buffer): string {
  const name = at.port === 22 ? at.host : `[${at.host}]:${at.port}`
  return `${name} ${keyType(blob)} ${blob.toString('base64')}\n`
}

/** A key begins with its type: four bytes of length, then the name (RFC 4253, 6.6). */
function keyType(blob: Buffer): string {
  return blob.subarray(4, 4 + blob.readUInt32BE(0)).toString()
}

function namesHost(hosts: string, name: string): boolean {
  if (hosts.startsWith('|1|')) return isHashOf(hosts, name)
  const patterns = hosts.toLowerCase().split(',')
  const matches = (pattern: string): boolean => picomatch.isMatch(name, escapeBrackets(pattern), { nobrace: true })
  if (patterns.some((pattern) => pattern.startsWith('!') && matches(pattern.slice(1)))) return false
  return patterns.some((pattern) => !pattern.startsWith('!') && matches(pattern))
}

/** `*` and `?` are patterns here, `[host]:port` is none. */
function escapeBrackets(pattern: string): string {
  return pattern.replaceAll(/[[\](){}+@!\\]/g, '\\$&')
}

/** `|1|SALT|HASH`: HMAC-SHA1 of the name. */
function isHashOf(hashed: string, name: string): boolean {
  const [, , salt = '', hash = ''] = hashed.split('|')
  return createHmac('sha1', Buffer.from(salt, 'base64')).update(name).digest('base64') === hash
}
