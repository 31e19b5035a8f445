import { posix } from 'node:path'
import type { Problem } from '../contract/provider.ts'
import type { SandboxSpec } from '../contract/runtime.ts'
import { applyDockerfile, makeDirectory } from './apply-dockerfile.ts'
import { readBuildContext, type BuildContext } from './build-context.ts'
import { readOnlyPaths, type Bind, type HostSystem } from './host-system.ts'
import { process1Path } from './isolation.ts'
import { inside, type SandboxPaths } from './paths.ts'

/** An order as far as it concerns files and settings: its Dockerfile is read, nothing is made yet. */
export interface ReadOrder {
  readonly spec: SandboxSpec
  readonly context: BuildContext | undefined
  readonly workdir: string
  readonly environment: Readonly<Record<string, string>>
}

export async function readOrder(spec: SandboxSpec): Promise<ReadOrder> {
  const context = spec.image.type === 'dockerfile' ? await readBuildContext(spec.image.directory) : undefined
  return {
    spec,
    context,
    workdir: posix.resolve('/', spec.workdir ?? context?.plan.workdir ?? '/app'),
    environment: { PATH: process1Path, HOME: '/root', LANG: 'C.UTF-8', ...context?.plan.env, ...spec.env },
  }
}

/** Every field that no sandbox on this host can honour, by name. */
export async function orderProblems(spec: SandboxSpec): Promise<Problem[]> {
  const context = spec.image.type === 'dockerfile' ? await readContextProblems(spec.image.directory) : []
  return [...context, ...userProblems(spec), ...pathProblems(spec), ...environmentProblems(spec)]
}

async function readContextProblems(directory: string): Promise<readonly Problem[]> {
  try {
    return (await readBuildContext(directory)).problems
  } catch (error) {
    const reason = error instanceof Error ? error.message : String(error)
    return [{ field: 'environment/Dockerfile', expected: `a readable build context: ${reason}` }]
  }
}

function userProblems(spec: SandboxSpec): Problem[] {
  if (spec.user === undefined || ['root', '0', 'root:root', '0:0'].includes(spec.user)) return []
  return [{ field: 'user', value: spec.user, expected: 'root, the only user here; use --provider docker for others' }]
}

function pathProblems(spec: SandboxSpec): Problem[] {
  const targets = spec.mounts.map((mount, index) => ({ field: `mounts.${index}.target`, path: mount.target }))
  const workdir = spec.workdir === undefined ? [] : [{ field: 'workdir', path: spec.workdir }]
  return [...targets, ...workdir].flatMap(({ field, path }) => {
    if (!path.startsWith('/')) return [{ field, value: path, expected: 'an absolute path' }]
    const taken = readOnlyPaths.find((owned) => path === owned || path.startsWith(`${owned}/`))
    if (taken === undefined) return []
    return [{ field, value: path, expected: `a path outside ${taken}, which is the host's own and read-only here` }]
  })
}

function environmentProblems(spec: SandboxSpec): Problem[] {
  return [...Object.keys(spec.env), ...spec.secrets]
    .filter((name) => !/^[A-Za-z_]\w*$/.test(name))
    .map((name) => ({ field: 'env', value: name, expected: 'a variable name of letters, digits and _ only' }))
}

/** For the lock file: what stands in for the image, and what of the Dockerfile had no effect. */
export function imageSentence(order: ReadOrder, host: HostSystem, notes: readonly string[]): string {
  const { image } = order.spec
  const asked = image.type === 'name' ? image.name : order.context?.plan.from
  const system = `the host's own system, ${host.name}`
  const effects = order.context?.plan.withoutEffect ?? []
  const withoutEffect = effects.length > 0 ? [`without effect: ${effects.join(', ')}`] : []
  return [asked ? `${system}, in place of ${asked}` : system, ...withoutEffect, ...notes].join('; ')
}

/** What the sandbox sees of the host, in the order in which it is to be mounted. */
export function orderBinds(
  order: ReadOrder,
  at: { paths: SandboxPaths; hostNetwork: boolean; host: HostSystem },
): Bind[] {
  return [
    ...at.host.binds,
    ...(at.hostNetwork ? at.host.resolver : []),
    { source: at.paths.channels, target: inside.channels, readOnly: true },
    { source: at.paths.output, target: inside.output, readOnly: false },
    ...order.spec.mounts,
  ]
}

/** Puts the files of a Dockerfile and the working directory into a root where nothing has run yet. */
export async function fillRoot(order: ReadOrder, root: string): Promise<void> {
  if (order.context !== undefined) await applyDockerfile(order.context, root)
  await makeDirectory(root, order.workdir)
}
