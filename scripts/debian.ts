import { access } from 'node:fs/promises'
import { delimiter, join } from 'node:path'
import { execa } from 'execa'

/** Daemons of root and Go are in folders that the PATH of a CI does not always name. */
export function addSystemFoldersToPath(): void {
  const folders = (process.env['PATH'] ?? '').split(delimiter)
  const missing = ['/usr/sbin', '/sbin', '/usr/bin', '/bin', '/usr/local/go/bin'].filter(
    (folder) => !folders.includes(folder),
  )
  process.env['PATH'] = [...folders, ...missing].join(delimiter)
}

export async function isOnPath(name: string): Promise<boolean> {
  const folders = (process.env['PATH'] ?? '').split(delimiter)
  return (await Promise.all(folders.map((folder) => exists(join(folder, name))))).includes(true)
}

export async function isRootOnDebian(): Promise<boolean> {
  return process.getuid?.() === 0 && (await exists('/etc/debian_version'))
}

/** Installs Debian packages. Throws an Error with the command to give when this is not root on Debian, or it fails. */
export async function installPackages(packages: readonly string[], onProgress: (line: string) => void): Promise<void> {
  const install = ['install', '-y', '-q', '--no-install-recommends', ...packages]
  const command = `apt-get ${install.join(' ')}`
  if (!(await isRootOnDebian())) throw new Error(`as root on Debian: ${command}`)
  onProgress(`installing ${packages.join(', ')}`)
  const env = { DEBIAN_FRONTEND: 'noninteractive' }
  try {
    await execa('apt-get', ['update', '-q'], { env })
    await execa('apt-get', install, { env })
  } catch (error) {
    throw new Error(`"${command}" failed: ${describeFailure(error)}`, { cause: error })
  }
}

/** A failed program's last words say more than its exit code. */
export function describeFailure(error: unknown): string {
  if (!(error instanceof Error)) return String(error)
  const said = 'stderr' in error && typeof error.stderr === 'string' ? error.stderr.trim().split('\n').at(-1) : ''
  return said || error.message
}

export async function exists(path: string): Promise<boolean> {
  return access(path).then(
    () => true,
    () => false,
  )
}
