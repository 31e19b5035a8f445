import { inside } from './paths.ts'
import type { SandboxView } from './isolation.ts'
import { writeWhole } from './write-whole.ts'

/** What root inside may do, all of it within its own user namespace. Without CAP_SYS_ADMIN it cannot remount /usr. */
const capabilities = [
  'CAP_CHOWN',
  'CAP_DAC_OVERRIDE',
  'CAP_FOWNER',
  'CAP_FSETID',
  'CAP_KILL',
  'CAP_NET_BIND_SERVICE',
  'CAP_NET_RAW',
  'CAP_SETGID',
  'CAP_SETUID',
  'CAP_SYS_CHROOT',
]

const journalBytes = 64 * 1024 * 1024

/** What `--dev` takes from the host. */
const devices = ['null', 'zero', 'full', 'random', 'urandom', 'tty']

/** What `heldDevicesArgv` mounts, in the form of fstab(5). */
export async function prepareHeldDevices(view: SandboxView): Promise<void> {
  const lines = devices.map((name) => `/dev/${name} /dev/${name} none bind,ro 0 0\n`)
  await writeWhole(view.paths.mounts, lines.join(''))
}

/**
 * Beginning of a command line for a worker that is root: bubblewrap then finds the host's devices mounted read-only.
 * They belong to root, which inside could change their modes and times for the whole machine; writing to a device is no
 * change of its file.
 */
export function heldDevicesArgv(view: SandboxView): string[] {
  const script = 'mount --all --fstab "$1" && shift && exec "$@"'
  return ['unshare', '--mount', '--', '/bin/sh', '-c', script, 'rollcall-launch', view.paths.mounts]
}

/**
 * bubblewrap's command line up to `--`. Deliberately without `--die-with-parent`: the sandbox outlives its worker.
 * Process 1 inside is ours (`--as-pid-1`), because bubblewrap's own stays until the last daemon has ended, which would
 * let daemons outlive the supervisor and its lifetime cap. A user namespace also for root: real root could leave.
 * Without `--disable-userns`, which would take ports below 1024 away: the network would belong to the outer namespace.
 */
export function bubblewrapArgv(bwrapPath: string, view: SandboxView): string[] {
  return [
    [bwrapPath, '--unshare-user', '--uid', '0', '--gid', '0'],
    ['--unshare-pid', '--unshare-ipc', '--unshare-uts', '--unshare-cgroup-try', '--hostname', view.name],
    view.hostNetwork ? [] : ['--unshare-net'],
    ['--cap-drop', 'ALL', ...capabilities.flatMap((name) => ['--cap-add', name])],
    ['--bind', view.paths.root, '/', '--dev', '/dev', '--proc', '/proc'],
    view.machineSettings.map((name) => `/proc/${name}`).flatMap((path) => ['--ro-bind', path, path]),
    view.binds.flatMap((bind) => [bind.readOnly ? '--ro-bind' : '--bind', bind.source, bind.target]),
    ['--perms', '0700', '--size', String(journalBytes), '--tmpfs', inside.journal],
    ['--clearenv', '--new-session', '--as-pid-1', '--chdir', '/', '--info-fd', '4', '--'],
  ].flat()
}

/** Who joins a user namespace has every capability in it: what process 1 began without is given up again. */
export function confineLikeBubblewrap(): string[] {
  const kept = capabilities.map((name) => `+${name.replace(/^CAP_/, '').toLowerCase()}`)
  return ['setpriv', '--no-new-privs', '--inh-caps=-all', `--bounding-set=-all,${kept.join(',')}`, '--']
}
