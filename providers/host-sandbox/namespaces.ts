import { stat, symlink, writeFile } from 'node:fs/promises'
import { join, posix } from 'node:path'
import { makeDirectory } from './apply-dockerfile.ts'
import { inside, scriptPath } from './paths.ts'
import { errorCode } from './record.ts'
import type { Bind } from './host-system.ts'
import type { SandboxView } from './isolation.ts'
import { writeWhole } from './write-whole.ts'

const devices = ['null', 'zero', 'full', 'random', 'urandom', 'tty']
const deviceLinks = { ptmx: 'pts/ptmx', fd: '/proc/self/fd', stdin: 'fd/0', stdout: 'fd/1', stderr: 'fd/2' }

interface Mount {
  readonly source: string
  readonly target: string
  readonly type: string
  readonly options: string
}

const systemMounts: readonly Mount[] = [
  { source: 'proc', target: '/proc', type: 'proc', options: 'defaults' },
  { source: 'devpts', target: '/dev/pts', type: 'devpts', options: 'newinstance,ptmxmode=0666,mode=620' },
  { source: 'tmpfs', target: '/dev/shm', type: 'tmpfs', options: 'mode=1777' },
  { source: 'tmpfs', target: inside.journal, type: 'tmpfs', options: 'mode=0700,size=64m' },
]

/** `unshare`'s command line; process 1 follows. */
export function namespacesArgv(asRoot: boolean, view: SandboxView): string[] {
  return [
    ['unshare', '--mount', '--pid', '--ipc', '--uts', '--fork'],
    asRoot ? [] : ['--map-root-user'],
    view.hostNetwork ? [] : ['--net'],
    ['/bin/sh', scriptPath('enter-namespaces.sh'), view.paths.root, view.name, view.paths.mounts],
  ].flat()
}

/** Writes down what to mount, and makes what it is mounted on, in a root where nothing has run yet. */
export async function prepareNamespaces(view: SandboxView): Promise<void> {
  const { root } = view.paths
  const binds = [...devices.map(deviceBind), ...view.binds]
  for (const { target } of systemMounts) await makeDirectory(root, target)
  for (const bind of binds) await makeMountPoint(root, bind)
  for (const [name, to] of Object.entries(deviceLinks)) await linkDevice(join(root, 'dev', name), to)
  const rootItself: Mount = { source: root, target: '/', type: 'none', options: 'bind' }
  const mounts = [rootItself, ...systemMounts, ...binds.map(asMount)]
  await writeWhole(view.paths.mounts, mounts.map((mount) => `${fstabLine(root, mount)}\n`).join(''))
}

function deviceBind(name: string): Bind {
  return { source: `/dev/${name}`, target: `/dev/${name}`, readOnly: false }
}

function asMount({ source, target, readOnly }: Bind): Mount {
  return { source, target, type: 'none', options: readOnly ? 'rbind,ro' : 'rbind' }
}

async function makeMountPoint(root: string, { source, target }: Bind): Promise<void> {
  const isDirectory = (await stat(source)).isDirectory()
  await makeDirectory(root, isDirectory ? target : posix.dirname(target))
  if (!isDirectory) await writeFile(join(root, target), '', { flag: 'a' })
}

async function linkDevice(path: string, to: string): Promise<void> {
  await symlink(to, path).catch((error: unknown) => {
    if (errorCode(error) !== 'EEXIST') throw error
  })
}

function fstabLine(root: string, mount: Mount): string {
  const target = join(root, mount.target).replace(/\/$/, '')
  return [escapeField(mount.source), escapeField(target), mount.type, mount.options, '0 0'].join(' ')
}

/** Blanks would end a field of fstab(5). */
function escapeField(text: string): string {
  return text.replace(/[\s\\]/g, (character) => `\\${character.charCodeAt(0).toString(8).padStart(3, '0')}`)
}
