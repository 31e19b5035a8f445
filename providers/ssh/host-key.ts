import { appendFile, mkdir, readFile } from 'node:fs/promises'
import { dirname } from 'node:path'
import type { ServerHostKeyAlgorithm } from 'ssh2'
import { RollcallError } from '../../protocol/failure.ts'
import { fingerprintOf, judgeHostKey, knownHostLine, lookUpHost } from './known-hosts.ts'
import type { KnownHost } from './known-hosts.ts'
import { targetName } from './ssh-target.ts'
import type { SshTarget } from './ssh-target.ts'

/** Under which algorithms a known key of that type is asked for. */
const algorithmsOf: Readonly<Record<string, readonly ServerHostKeyAlgorithm[]>> = {
  'ssh-ed25519': ['ssh-ed25519'],
  'ecdsa-sha2-nistp256': ['ecdsa-sha2-nistp256'],
  'ecdsa-sha2-nistp384': ['ecdsa-sha2-nistp384'],
  'ecdsa-sha2-nistp521': ['ecdsa-sha2-nistp521'],
  'ssh-rsa': ['rsa-sha2-512', 'rsa-sha2-256'],
}

export interface HostKeyCheck {
  /** To be asked for first: a host may have several keys, and only that of a known type can be recognised. */
  readonly preferred: readonly ServerHostKeyAlgorithm[]
  /** @returns undefined when it is the right host; else why not */
  verify(blob: Buffer): Promise<RollcallError | undefined>
}

export async function hostKeyCheck(target: SshTarget): Promise<HostKeyCheck> {
  const policy = target.hostKey
  if (policy.type === 'fingerprint') {
    return { preferred: [], verify: (blob) => Promise.resolve(comparePinned(target, policy.fingerprint, blob)) }
  }
  const known = lookUpHost((await Promise.all(policy.files.map(readIfThere))).join('\n'), target)
  return {
    preferred: [...new Set(known.keys.flatMap(({ type }) => algorithmsOf[type] ?? []))],
    verify: (blob) => compareKnown({ target, known, blob }),
  }
}

function comparePinned(target: SshTarget, pinned: string, blob: Buffer): RollcallError | undefined {
  return fingerprintOf(blob) === pinned ? undefined : changed(target, pinned, blob)
}

async function compareKnown(at: {
  target: SshTarget
  known: KnownHost
  blob: Buffer
}): Promise<RollcallError | undefined> {
  const { target, known, blob } = at
  switch (judgeHostKey(known, blob)) {
    case 'known':
      return undefined
    case 'revoked':
      return refused(target, `its key ${fingerprintOf(blob)} is marked as revoked`)
    case 'changed':
      return changed(target, known.keys.map((key) => fingerprintOf(key.blob)).join(' or '), blob)
    case 'unknown':
      return await meet(target, blob)
  }
}

async function meet(target: SshTarget, blob: Buffer): Promise<RollcallError | undefined> {
  const { hostKey } = target
  const file = hostKey.type === 'known-hosts' && hostKey.acceptNew ? hostKey.files.at(-1) : undefined
  if (file === undefined) {
    return refused(
      target,
      `its key ${fingerprintOf(blob)} is not known; compare it with what the host's owner says, then pin it with fingerprint=${fingerprintOf(blob)}, or believe it once with accept-new=true`,
    )
  }
  await mkdir(dirname(file), { recursive: true, mode: 0o700 })
  await appendFile(file, knownHostLine(target, blob), { mode: 0o600 })
  return undefined
}

function changed(target: SshTarget, expected: string, blob: Buffer): RollcallError {
  return refused(
    target,
    `its key has changed: expected ${expected}, got ${fingerprintOf(blob)}. Either the host was set up anew, and then its new key is to be pinned, or somebody stands in between`,
  )
}

function refused(target: SshTarget, why: string): RollcallError {
  return new RollcallError('provider-auth', `${targetName(target)} is not trusted: ${why}`)
}

async function readIfThere(path: string): Promise<string> {
  try {
    return await readFile(path, 'utf8')
  } catch (error) {
    if (error instanceof Error && 'code' in error && error.code === 'ENOENT') return ''
    throw error
  }
}
