import { scriptPath } from './paths.ts'
import type { SandboxView } from './isolation.ts'

/** `unshare`'s command line and what it has to mount; process 1 follows. */
export function namespacesArgv(asRoot: boolean, view: SandboxView): string[] {
  return [
    ['unshare', '--mount', '--pid', '--ipc', '--uts', '--fork'],
    asRoot ? [] : ['--map-root-user'],
    view.hostNetwork ? [] : ['--net'],
    ['/bin/sh', scriptPath('enter-namespaces.sh'), view.paths.root, view.name],
    view.binds.flatMap((bind) => [bind.readOnly ? 'ro' : 'rw', bind.source, bind.target]),
    '--',
  ].flat()
}
