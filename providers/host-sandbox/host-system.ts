import { existsSync } from 'node:fs'
import { lstat, readFile, readlink, realpath } from 'node:fs/promises'
import { join } from 'node:path'

export interface Bind {
  /** Absolute, on the host. */
  readonly source: string
  /** Absolute, inside. */
  readonly target: string
  readonly readOnly: boolean
}

/** A machine as its sandboxes see it: this one, or a node that has been asked. */
export interface HostSystem {
  /** "Debian GNU/Linux 12 (bookworm)". */
  readonly name: string
  /** Its directories and settings, read-only. */
  readonly binds: readonly Bind[]
  /** Links to make in a sandbox's `/`: on a system with merged /usr, `/bin` to `usr/bin`. */
  readonly links: readonly { readonly path: string; readonly to: string }[]
  /** How names are looked up: only for sandboxes with the host's network. */
  readonly resolver: readonly Bind[]
  /** Those of `machineSettings` that there are. */
  readonly machineSettings: readonly string[]
}

/** What stands directly under `/` and belongs to the host's system; symbolic links on a system with merged /usr. */
export const systemDirectories = ['usr', 'bin', 'sbin', 'lib', 'lib32', 'lib64', 'libx32']

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
export const systemSettings = [
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

/**
 * Of /proc, what changes the whole machine, as the Engine closes it too. Root inside is the worker's user outside: where
 * that is the machine's root, the kernel lets it write settings (`core_pattern` starts programs outside), since their
 * files belong to it; bubblewrap itself leaves /proc/sys open.
 */
export const machineSettings = ['acpi', 'asound', 'bus', 'fs', 'irq', 'mtrr', 'scsi', 'sys', 'sysrq-trigger']

/** This machine, as it is now. */
export async function readHostSystem(): Promise<HostSystem> {
  const binds: Bind[] = []
  const links: { path: string; to: string }[] = []
  for (const path of systemDirectories.map((name) => `/${name}`)) {
    const status = await lstat(path).catch(() => undefined)
    if (status?.isSymbolicLink()) links.push({ path, to: await readlink(path) })
    else if (status?.isDirectory()) binds.push({ source: path, target: path, readOnly: true })
  }
  const settings = await Promise.all(systemSettings.map((name) => settingBind(join('/etc', name))))
  return {
    name: await hostSystemName(),
    binds: [...binds, ...settings.flat()],
    links,
    resolver: await settingBind('/etc/resolv.conf'),
    machineSettings: machineSettings.filter((name) => existsSync(`/proc/${name}`)),
  }
}

/** Of a symbolic link (localtime, os-release), what it points to: the mount itself must not be one. */
async function settingBind(path: string): Promise<Bind[]> {
  const source = await realpath(path).catch(() => undefined)
  return source === undefined ? [] : [{ source, target: path, readOnly: true }]
}

async function hostSystemName(): Promise<string> {
  const release = await readFile('/etc/os-release', 'utf8').catch(() => '')
  return /^PRETTY_NAME="?([^"\n]+)/m.exec(release)?.[1] ?? 'Linux'
}
