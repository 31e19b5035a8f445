import { mkdir, readdir } from 'node:fs/promises'
import { setTimeout as delay } from 'node:timers/promises'
import { RollcallError } from '../../protocol/failure.ts'
import type {
  Capabilities,
  CreateRequest,
  FoundSandbox,
  Ownership,
  Problem,
  Provider,
  Sandbox,
  ShellUser,
} from '../contract/provider.ts'
import type { SandboxSpec } from '../contract/runtime.ts'
import { attach, isListening } from './attachment.ts'
import { claim } from './claim.ts'
import { readHostSystem } from './host-system.ts'
import type { Isolation } from './isolation.ts'
import { launch } from './launch.ts'
import { checkedName, hasLabels, isSandboxName, lost, refuseOther } from './names-and-owners.ts'
import { fillRoot, imageSentence, orderBinds, readOrder, type ReadOrder } from './order.ts'
import { sandboxPaths, type SandboxPaths } from './paths.ts'
import { readOrMakePlace } from './place.ts'
import { isAlive, isOfThisBoot } from './process-identity.ts'
import { readIfThere, readProcessIdentity, readRecord, type SandboxRecord } from './record.ts'
import { removeLeftovers, removeSandbox } from './remove.ts'
import { enterSandbox } from './shell.ts'
import { systemPicture } from './system-picture.ts'

/** What a provider of sandboxes on this host decides for itself. */
export interface HostPolicy {
  readonly name: string
  readonly capabilities: Capabilities
  /** Directory of all its sandboxes, 0700; made if absent. Two providers never share one. */
  readonly home: string
  readonly isolation: Isolation
  readonly check: (spec: SandboxSpec) => Promise<Problem[]>
  /** Whether a sandbox of that order gets the host's network. */
  readonly hostNetwork: (spec: SandboxSpec) => boolean
  /** What the lock file is to say besides the system's name. */
  readonly notes: (spec: SandboxSpec) => readonly string[]
}

/**
 * Sandboxes that are a directory and a process tree on this host. All state is in the directory, none in this process:
 * any other process may go on at any point.
 */
export function createHostProvider(policy: HostPolicy): Provider {
  return {
    name: policy.name,
    capabilities: policy.capabilities,
    place: () => readOrMakePlace(policy.home),
    check: policy.check,
    createOrAdopt: (request) => createOrAdopt(policy, request),
    find: (name) => find(policy.home, name),
    connect: async (name) => {
      const found = await find(policy.home, name)
      if (found?.state !== 'running') throw lost(name, found?.reason)
      return await attach(sandboxPaths(policy.home, name))
    },
    destroy: (name) => removeSandbox(policy.home, checkedName(name)),
    shell: (name, user) => shell(policy, name, user),
    systemPicture: (name) => systemPicture(sandboxPaths(policy.home, checkedName(name)).root),
    list: (labels) => list(policy.home, labels),
    close: () => Promise.resolve(),
  }
}

async function createOrAdopt(policy: HostPolicy, request: CreateRequest): Promise<Sandbox> {
  await refuseProblems(policy, request.spec)
  await mkdir(policy.home, { recursive: true, mode: 0o700 })
  const paths = sandboxPaths(policy.home, checkedName(request.name))
  const order = await readOrder(request.spec)
  const record = (await readRecord(paths)) ?? (await claimAndRead(policy, request, order))
  refuseOther(record, request.ownership)
  const identity = await readProcessIdentity(paths)
  if (identity !== undefined && !(await isAlive(identity))) throw lost(request.name, await deathReason(paths))
  if (identity === undefined || !isListening(paths)) await start({ policy, request, order, paths })
  return asSandbox(paths, record)
}

async function claimAndRead(policy: HostPolicy, request: CreateRequest, order: ReadOrder): Promise<SandboxRecord> {
  request.onProgress?.('laying out directories')
  const host = await readHostSystem()
  const record: SandboxRecord = {
    version: 1,
    name: request.name,
    ownership: request.ownership,
    image: imageSentence(order, host, policy.notes(order.spec)),
    workdir: order.workdir,
    created: new Date().toISOString(),
  }
  await claim({ home: policy.home, record, host, fill: (root) => fillRoot(order, root) })
  const stored = await readRecord(sandboxPaths(policy.home, request.name))
  if (stored === undefined) throw lost(request.name, 'unknown')
  return stored
}

async function start(at: {
  policy: HostPolicy
  request: CreateRequest
  order: ReadOrder
  paths: SandboxPaths
}): Promise<void> {
  const { policy, request, order, paths } = at
  const { limits } = request.spec
  const hostNetwork = policy.hostNetwork(request.spec)
  request.onProgress?.('starting')
  const host = await readHostSystem()
  const binds = orderBinds(order, { paths, hostNetwork, host })
  await launch({
    isolation: policy.isolation,
    view: { name: request.name, paths, hostNetwork, binds, machineSettings: host.machineSettings },
    environment: { ...order.environment, ...request.secrets },
    workdir: order.workdir,
    lifetimeMs: limits.lifetimeMs,
    startTimeoutMs: limits.startTimeoutMs,
    ...(request.signal === undefined ? {} : { signal: request.signal }),
  })
}

async function find(home: string, name: string): Promise<FoundSandbox | undefined> {
  const paths = sandboxPaths(home, checkedName(name))
  const record = await readRecord(paths)
  if (record === undefined) return undefined
  const createdMs = Date.parse(record.created)
  const sandbox = { ...asSandbox(paths, record), ownership: record.ownership, createdMs }
  const identity = await readProcessIdentity(paths)
  if (identity !== undefined && (await isAlive(identity))) return { ...sandbox, state: 'running' }
  return { ...sandbox, state: 'dead', reason: await deathReason(paths) }
}

async function shell(policy: HostPolicy, name: string, user: ShellUser): Promise<number> {
  const paths = sandboxPaths(policy.home, checkedName(name))
  const [record, process1] = await Promise.all([readRecord(paths), readProcessIdentity(paths)])
  if (record === undefined || process1 === undefined || !(await isAlive(process1))) throw lost(name)
  return await enterSandbox({ isolation: policy.isolation, process1, workdir: record.workdir }, user)
}

/**
 * The supervisor ends with 0 when the lifetime is over, and otherwise only when something ends it. The launcher writes
 * that down a moment after the death; if it has died too, nobody will.
 */
async function deathReason(paths: SandboxPaths): Promise<'lifetime' | 'exited' | 'unknown'> {
  for (let waitMs = 1; waitMs < 300; waitMs *= 2) {
    const exitCode = (await readIfThere(paths.ended))?.trim()
    if (exitCode) return exitCode === '0' ? 'lifetime' : 'exited'
    if (!(await mayJustHaveEnded(paths))) break
    await delay(waitMs)
  }
  return 'unknown'
}

async function mayJustHaveEnded(paths: SandboxPaths): Promise<boolean> {
  const identity = await readProcessIdentity(paths)
  return identity !== undefined && (await isOfThisBoot(identity))
}

async function list(home: string, labels: Partial<Ownership>): Promise<FoundSandbox[]> {
  await removeLeftovers(home)
  const names = await readdir(home).catch(() => [])
  const all = await Promise.all(names.filter((name) => isSandboxName(name)).map((name) => find(home, name)))
  return all.filter((sandbox) => sandbox !== undefined).filter(({ ownership }) => hasLabels(ownership, labels))
}

async function refuseProblems(policy: HostPolicy, spec: SandboxSpec): Promise<void> {
  const problems = await policy.check(spec)
  if (problems.length === 0) return
  const lines = problems.map(
    ({ field, value, expected }) => `${field}${value === undefined ? '' : ` (${value})`}: ${expected}`,
  )
  throw new RollcallError('runtime-unsupported', `The ${policy.name} provider cannot honour ${lines.join('; ')}`)
}

function asSandbox(paths: SandboxPaths, record: SandboxRecord): Sandbox {
  return { name: record.name, id: paths.directory, image: record.image, workdir: record.workdir }
}
