/** A host that is reached by SSH, and how it is known that it is the right one. */
export interface SshTarget {
  readonly host: string
  readonly port: number
  readonly user: string
  readonly credential: SshCredential
  readonly hostKey: HostKeyPolicy
}

export type SshCredential =
  /** `socket`: path of the agent's socket, as in SSH_AUTH_SOCK. */
  | { readonly type: 'agent'; readonly socket: string }
  /** `privateKey`: in OpenSSH's or PEM form. */
  | { readonly type: 'key'; readonly privateKey: string; readonly passphrase?: string }
  | { readonly type: 'password'; readonly password: string }

export type HostKeyPolicy =
  /** As `ssh-keygen -l` writes it: `SHA256:` and 43 characters. */
  | { readonly type: 'fingerprint'; readonly fingerprint: string }
  /**
   * Files in the form of sshd(8), those that are not there count as empty. `acceptNew`: a host that none of them knows
   * is believed the first time and written into the last one.
   */
  | { readonly type: 'known-hosts'; readonly files: readonly string[]; readonly acceptNew: boolean }

/** `user@host:port`, for messages. */
export function targetName({ user, host, port }: Pick<SshTarget, 'user' | 'host' | 'port'>): string {
  return `${user}@${host}:${port}`
}
