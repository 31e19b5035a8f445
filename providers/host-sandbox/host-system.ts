import { lstat, readFile, readlink, realpath } from 'node:fs/promises'
import { join } from 'node:path'

export interface Bind {
  /** Absolute, on the host. */
  readonly source: string
  /** Absolute, inside. */
  readonly target: string
  readonly readOnly: boolean
}

/** What stands directly under `/` and belongs to the host's system; symbolic links on a system with merged /usr. */
const systemDirectories = ['usr', 'bin', 'sbin', 'lib', 'lib32', 'lib64', 'libx32']

/**
 * For a trial of bubblewrap: enough to run a program. Not all of `/`, which takes what is mounted below it along, as the
 * file systems of containers; one that is unmounted at that moment would make it look as if bubblewrap did not work.
 */
export const trialBinds: readonly string[] = systemDirectories.flatMap((name) => [
  '--ro-bind-try',
  `/${name}`,
  `/${name}`,
])

/**
 * Of the host's /etc, only what programs need and what holds no secret; the rest of /etc is the sandbox's own. Not here,
 * because they may hold passwords or tokens: shadow, ssh, sudoers, environment, profile.d, gitconfig, ssl/private.
 */
const systemSettings = [
  'alternatives',
  'ca-certificates',
  'ca-certificates.conf',
  'debian_version',
  'fonts',
  'ld.so.cache',
  'ld.so.conf',
  'ld.so.conf.d',
  'locale.alias',
  'localtime',
  'magic',
  'mime.types',
  'os-release',
  'pki/tls/certs',
  'protocols',
  'services',
  'ssl/certs',
  'ssl/openssl.cnf',
  'terminfo',
  'timezone',
]

/** Paths inside where nothing can be put, because the host's own are there, read-only. */
export const readOnlyPaths: readonly string[] = [
  ...[...systemDirectories, 'dev', 'proc', 'sys', 'run/rollcall'].map((name) => `/${name}`),
  ...systemSettings.map((name) => `/etc/${name}`),
]

/** The host's system as a sandbox sees it: directories to bind, and links to make. */
export async function hostSystem(): Promise<{ binds: Bind[]; links: { path: string; to: string }[] }> {
  const binds: Bind[] = []
  const links: { path: string; to: string }[] = []
  for (const path of systemDirectories.map((name) => `/${name}`)) {
    const status = await lstat(path).catch(() => undefined)
    if (status?.isSymbolicLink()) links.push({ path, to: await readlink(path) })
    else if (status?.isDirectory()) binds.push({ source: path, target: path, readOnly: true })
  }
  const settings = await Promise.all(systemSettings.map((name) => settingBind(join('/etc', name))))
  return { binds: [...binds, ...settings.flat()], links }
}

/** Of a symbolic link (localtime, os-release), what it points to: the mount itself must not be one. */
async function settingBind(path: string): Promise<Bind[]> {
  const source = await realpath(path).catch(() => undefined)
  return source === undefined ? [] : [{ source, target: path, readOnly: true }]
}

/** How names are looked up: only for sandboxes with the host's network. */
export async function resolverBinds(): Promise<Bind[]> {
  const source = await realpath('/etc/resolv.conf').catch(() => undefined)
  return source === undefined ? [] : [{ source, target: '/etc/resolv.conf', readOnly: true }]
}

/** "Debian GNU/Linux 12 (bookworm)". */
export async function hostSystemName(): Promise<string> {
  const release = await readFile('/etc/os-release', 'utf8').catch(() => '')
  return /^PRETTY_NAME="?([^"\n]+)/m.exec(release)?.[1] ?? 'Linux'
}
