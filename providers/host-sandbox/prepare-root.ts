import { chmod, mkdir, symlink, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import type { HostSystem } from './host-system.ts'
import { inside } from './paths.ts'

/** The sandbox's own directories. Tasks expect the first four, everything else expects the others. */
const ownDirectories: Readonly<Record<string, number>> = {
  '/app': 0o755,
  '/logs': 0o755,
  '/solution': 0o755,
  '/tests': 0o755,
  '/etc/ssl': 0o755,
  '/home': 0o755,
  '/mnt': 0o755,
  '/opt': 0o755,
  '/root': 0o700,
  '/run': 0o755,
  '/srv': 0o755,
  '/var/cache': 0o755,
  '/var/lib': 0o755,
  '/var/log': 0o755,
  '/tmp': 0o1777,
  '/var/tmp': 0o1777,
  [inside.channels]: 0o700,
  [inside.output]: 0o700,
}

/** Lays out `/` of a sandbox in an empty directory: its own directories and settings, and links into the system's /usr. */
export async function prepareRoot(root: string, name: string, { links }: HostSystem): Promise<void> {
  await Promise.all(Object.entries(ownDirectories).map(([path, mode]) => makeOwnDirectory(join(root, path), mode)))
  await Promise.all(links.map((link) => symlink(link.to, join(root, link.path))))
  const files = Object.entries(settingsFiles(name))
  await Promise.all(files.map(([path, text]) => writeFile(join(root, path), text, { mode: 0o644 })))
}

/** Set afterwards, since the worker's umask takes away from a mode given to mkdir. */
async function makeOwnDirectory(path: string, mode: number): Promise<void> {
  await mkdir(path, { recursive: true })
  await chmod(path, mode)
}

/** The users of the host are none of the sandbox's business: it has its own. */
function settingsFiles(name: string): Record<string, string> {
  return {
    '/etc/passwd': 'root:x:0:0:root:/root:/bin/sh\nnobody:x:65534:65534:nobody:/nonexistent:/usr/sbin/nologin\n',
    '/etc/group': 'root:x:0:\nnogroup:x:65534:\n',
    '/etc/hosts': `127.0.0.1\tlocalhost\n::1\tlocalhost\n127.0.1.1\t${name}\n`,
    '/etc/hostname': `${name}\n`,
    '/etc/nsswitch.conf': 'passwd: files\ngroup: files\nhosts: files dns\nservices: files\nprotocols: files\n',
  }
}
