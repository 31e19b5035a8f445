import { execFile } from 'node:child_process'
import { promisify } from 'node:util'
import { bubblewrapArgv, confineLikeBubblewrap, heldDevicesArgv, prepareHeldDevices } from './bubblewrap.ts'
import { prepareNamespaces, namespacesArgv } from './namespaces.ts'
import { trialBinds } from './host-system.ts'
import type { Bind } from './host-system.ts'
import type { SandboxPaths } from './paths.ts'

const run = promisify(execFile)

/** What a sandbox sees of the host, for whoever builds its walls. */
export interface SandboxView {
  readonly name: string
  readonly paths: SandboxPaths
  readonly binds: readonly Bind[]
  /** Of /proc, what is to be read-only (host-system.ts). */
  readonly machineSettings: readonly string[]
  /** False: no network but its own loopback. */
  readonly hostNetwork: boolean
}

/** How sandboxes are kept apart from the host. */
export interface Isolation {
  /** Called before each start, on a root where nothing has run yet. */
  prepare(view: SandboxView): Promise<void>
  /** The beginning of a command line; what follows becomes process 1 and is written to descriptor 4 (launch.sh). */
  argv(view: SandboxView): string[]
  /** Command line that takes from a person's shell, once inside, what nothing else inside has; may be empty. */
  confineShell(): string[]
  /** Why it does not work on this machine, or undefined. Really tries it. */
  whyNot(): Promise<string | undefined>
}

/** bubblewrap: the sandbox reaches nothing of the host but its read-only system. */
export function bubblewrapIsolation(bwrapPath: string, options: { asRoot: boolean }): Isolation {
  const tried = [bwrapPath, '--unshare-user', '--unshare-pid', '--unshare-net', ...trialBinds, '--', 'true']
  const [program = '', ...args] = options.asRoot ? ['unshare', '--mount', '--', ...tried] : tried
  return {
    prepare: (view) => (options.asRoot ? prepareHeldDevices(view) : Promise.resolve()),
    argv: (view) => [...(options.asRoot ? heldDevicesArgv(view) : []), ...bubblewrapArgv(bwrapPath, view)],
    confineShell: confineLikeBubblewrap,
    whyNot: () => firstError(program, args),
  }
}

/**
 * util-linux `unshare`: the same view of the host, but root inside is strong enough to leave it when the worker is
 * root. For tests, and for users who consented to it.
 */
export function namespaceIsolation(options: { asRoot: boolean }): Isolation {
  return {
    prepare: prepareNamespaces,
    argv: (view) => namespacesArgv(options.asRoot, view),
    confineShell: () => [],
    whyNot: () =>
      firstError('unshare', [...(options.asRoot ? [] : ['--map-root-user']), '--mount', '--pid', '--fork', 'true']),
  }
}

async function firstError(program: string, args: string[]): Promise<string | undefined> {
  try {
    await run(program, args, { timeout: 10_000, env: { PATH: process1Path } })
    return undefined
  } catch (error) {
    const stderr = error instanceof Error && 'stderr' in error ? String(error.stderr).trim() : ''
    return stderr || (error instanceof Error ? error.message : String(error))
  }
}

/** Search path of launchers and, unless an ENV line says otherwise, of sandboxes. */
export const process1Path = '/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin'
