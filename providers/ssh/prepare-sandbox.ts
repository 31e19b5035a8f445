import type { Readable } from 'node:stream'
import type { CreateRequest } from '../contract/provider.ts'
import { layOut } from '../host-sandbox/claim.ts'
import type { HostSystem } from '../host-sandbox/host-system.ts'
import { bubblewrapIsolation } from '../host-sandbox/isolation.ts'
import { fillRoot, imageSentence, orderBinds } from '../host-sandbox/order.ts'
import type { ReadOrder } from '../host-sandbox/order.ts'
import { pathsOf, sandboxPaths } from '../host-sandbox/paths.ts'
import { programsArgv } from '../host-sandbox/programs.ts'
import { packDirectory } from './pack-directory.ts'

export interface Preparation {
  readonly request: CreateRequest
  readonly order: ReadOrder
  /** A directory of this host where the sandbox's is put together. */
  readonly scratch: string
  /** Directory of all sandboxes on the node. */
  readonly home: string
  readonly system: HostSystem
  readonly isRoot: boolean
  readonly hostNetwork: boolean
  readonly notes: readonly string[]
}

/** Everything that a node needs for one sandbox. */
export interface NodeSandbox {
  /** Its directory as a tar. */
  archive(): Readable
  /** Shell text for `node.sh start`: the command line and the environment, secrets in it. */
  startOrder(timeoutMs: number): string
}

/** The same for everybody who prepares the same request, but for the time that is on record. */
export async function prepareSandbox(preparation: Preparation): Promise<NodeSandbox> {
  const { request, order, scratch, home, system, isRoot, hostNetwork, notes } = preparation
  const { name, spec, ownership, secrets } = request
  const image = imageSentence(order, system, notes)
  const record = {
    version: 1,
    name,
    ownership,
    image,
    workdir: order.workdir,
    created: new Date().toISOString(),
  } as const
  await layOut(scratch, { record, host: system, fill: (root) => fillRoot(order, root) })
  const [here, there] = [pathsOf(scratch), sandboxPaths(home, name)]
  const isolation = bubblewrapIsolation('bwrap', { asRoot: isRoot })
  const binds = orderBinds(order, { paths: there, hostNetwork, host: system })
  const view = { name, paths: there, hostNetwork, binds, machineSettings: system.machineSettings }
  await isolation.prepare({ ...view, paths: { ...there, mounts: here.mounts } })
  const { lifetimeMs } = spec.limits
  const programs = await programsArgv({ ...there, channels: here.channels }, { workdir: order.workdir, lifetimeMs })
  const environment = Object.entries({ ...order.environment, ...secrets })
  return {
    archive: () => packDirectory(scratch),
    startOrder: (timeoutMs) =>
      [
        `set -- ${[...isolation.argv(view), ...programs].map(quoted).join(' ')}`,
        `environment=${quoted(environment.map(([key, value]) => `export ${key}=${quoted(value)}`).join('\n'))}`,
        `ticks_left=${Math.ceil(timeoutMs / 10)}`,
        'rollcall_order=complete',
      ].join('\n'),
  }
}

function quoted(text: string): string {
  return `'${text.replaceAll("'", `'\\''`)}'`
}
