import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { RollcallError } from '../../protocol/failure.ts'
import type {
  Capabilities,
  CreateRequest,
  FoundSandbox,
  Problem,
  Provider,
  Sandbox,
  SystemPicture,
} from '../contract/provider.ts'
import type { SandboxSpec } from '../contract/runtime.ts'
import { checkedName, hasLabels, lost, refuseOther } from '../host-sandbox/names-and-owners.ts'
import { orderProblems, readOrder } from '../host-sandbox/order.ts'
import { sandboxPaths } from '../host-sandbox/paths.ts'
import { unenforcedLimits, unenforcedProblems } from '../host-sandbox/unenforced.ts'
import { describedSandbox, readDescriptions, sandboxOf } from './describe.ts'
import type { Described } from './describe.ts'
import { prepareSandbox } from './prepare-sandbox.ts'
import type { NodeSandbox } from './prepare-sandbox.ts'
import type { SessionStream } from './session-stream.ts'
import { SshNode } from './ssh-node.ts'
import type { Answer } from './ssh-node.ts'
import type { SshTarget } from './ssh-target.ts'

export interface SshProviderOptions {
  readonly target: SshTarget
  /** Directory on the node in which all sandboxes are, made if absent; absolute, or relative to the user's home. */
  readonly workspace: string
  /** `--provider-arg network=true`: tasks that ask for the network get the node's. Default false. */
  readonly allowNetwork?: boolean
  /** `--provider-arg limits=ignore`: tasks that state cpus, memory, storage or pids run without those limits. */
  readonly ignoreLimits?: boolean
}

/** Exit codes of node.sh. */
const gone = 66
const notAttached = 69
const failedToStart = 70
const stillRunning = 75
const notInTime = 76

/** How long an attachment may take to be answered from inside; node.sh gives up after 20 s. */
const attachTimeoutMs = 30_000

/**
 * Sandboxes on another host, reached by SSH: there they are what those of `local` are here, and outlive the connection.
 * The node needs no Rollcall, only a POSIX sh, util-linux, tar and bubblewrap.
 */
export function createSshProvider(options: SshProviderOptions): Provider {
  const node = new SshNode(options.target, options.workspace)
  return {
    name: 'ssh',
    capabilities: sshCapabilities(options),
    place: async () => (await node.probe()).place,
    check: (spec) => check(node, options, spec),
    createOrAdopt: (request) => createOrAdopt(node, options, request),
    find: (name) => find(node, name),
    connect: (name) => connect(node, name),
    destroy: (name) => destroy(node, name),
    systemPicture: (name) => systemPicture(node, name),
    list: async (labels) => {
      const { stdout } = succeeded(await node.call({ verb: 'list' }), node)
      const { home } = await node.probe()
      const all = readDescriptions(stdout).map((described) => describedSandbox(home, described))
      return all.filter(({ ownership }) => hasLabels(ownership, labels))
    },
    close: () => node.close(),
  }
}

export function sshCapabilities(consent: { allowNetwork?: boolean }): Capabilities {
  return {
    durable: true,
    dockerfile: 'subset',
    networkModes: consent.allowNetwork === true ? ['none', 'public'] : ['none'],
    resources: [],
    mounts: true,
    users: false,
    imageLayers: false,
  }
}

async function check(node: SshNode, options: SshProviderOptions, spec: SandboxSpec): Promise<Problem[]> {
  const { missing } = await node.probe()
  const consent = {
    provider: 'ssh',
    allowNetwork: options.allowNetwork ?? false,
    networkConsent: '--provider-arg network=true',
    ignoreLimits: options.ignoreLimits ?? false,
  }
  const incomplete: Problem[] = missing.map((what) => ({
    field: '--provider',
    value: `ssh (${node.name})`,
    expected: `a node with ${what}: install bubblewrap, util-linux, coreutils and tar there`,
  }))
  return [...incomplete, ...unenforcedProblems(spec, consent), ...(await orderProblems(spec))]
}

async function createOrAdopt(node: SshNode, options: SshProviderOptions, request: CreateRequest): Promise<Sandbox> {
  const problems = await check(node, options, request.spec)
  if (problems.length > 0) throw unsupported(problems)
  const known = await describe(node, checkedName(request.name))
  if (known !== undefined) refuseOther(known.record, request.ownership)
  if (known?.state === 'dead') throw lost(request.name, known.reason)
  const { home } = await node.probe()
  if (known?.state === 'running') return sandboxOf(home, known.record)
  const scratch = await mkdtemp(join(tmpdir(), 'rollcall-ssh-'))
  try {
    return await make({ node, options, request, scratch })
  } finally {
    await rm(scratch, { recursive: true, force: true })
  }
}

interface Making {
  readonly node: SshNode
  readonly options: SshProviderOptions
  readonly request: CreateRequest
  readonly scratch: string
}

async function make({ node, options, request, scratch }: Making): Promise<Sandbox> {
  const { spec, ownership, name, onProgress } = request
  const { home, isRoot, system } = await node.probe()
  const hostNetwork = options.allowNetwork === true && spec.networkAsked && spec.network.mode === 'public'
  const order = await readOrder(spec)
  onProgress?.('laying out directories')
  const prepared = await prepareSandbox({
    request,
    order,
    scratch,
    home,
    system,
    isRoot,
    hostNetwork,
    notes: notes(spec),
  })
  const { stdout } = succeeded(await call(node, request, { verb: 'make', input: prepared.archive() }), node)
  const [made] = readDescriptions(stdout)
  if (made === undefined) throw lost(name)
  refuseOther(made.record, ownership)
  if (made.state !== 'running') await start({ node, request, prepared })
  return sandboxOf(home, made.record)
}

async function start(at: { node: SshNode; request: CreateRequest; prepared: NodeSandbox }): Promise<void> {
  const { node, request, prepared } = at
  request.onProgress?.('starting')
  const { startTimeoutMs } = request.spec.limits
  const { code, stdout } = await call(node, request, { verb: 'start', input: prepared.startOrder(startTimeoutMs) })
  const said = stdout.trim() === '' ? '' : `: ${stdout.trim()}`
  if (code === gone) throw new RollcallError('sandbox-lost', `Sandbox ${request.name} ended while it started${said}`)
  if (code === failedToStart) {
    throw new RollcallError('sandbox-create-failed', `The sandbox could not be started on ${node.name}${said}`)
  }
  if (code === notInTime) {
    throw new RollcallError(
      'sandbox-start-timeout',
      `Sandbox ${request.name} did not start within ${startTimeoutMs} ms`,
    )
  }
  succeeded({ code, stdout }, node)
}

async function call(
  node: SshNode,
  request: CreateRequest,
  order: Pick<Parameters<SshNode['call']>[0], 'verb' | 'input'>,
): Promise<Answer> {
  const { signal, name, spec } = request
  const timeoutMs = spec.limits.startTimeoutMs + 10_000
  return await node.call({ ...order, name, timeoutMs, ...(signal !== undefined && { signal }) })
}

async function describe(node: SshNode, name: string): Promise<Described | undefined> {
  return readDescriptions(succeeded(await node.call({ verb: 'find', name }), node).stdout)[0]
}

async function find(node: SshNode, name: string): Promise<FoundSandbox | undefined> {
  const described = await describe(node, checkedName(name))
  return described && describedSandbox((await node.probe()).home, described)
}

/** Resolves when the runner inside has taken the attachment. */
async function connect(node: SshNode, name: string): Promise<SessionStream> {
  const stream = await node.converse({ verb: 'attach', name: checkedName(name) })
  const timer = setTimeout(() => stream.destroy(new Error('no answer from inside')), attachTimeoutMs)
  try {
    await readGreeting(stream)
    return stream
  } catch (error) {
    stream.destroy()
    if (stream.exitCode === gone) throw lost(name)
    const reason = stream.exitCode === notAttached ? 'nobody answers inside' : messageOf(error)
    throw new RollcallError(
      'provider-unavailable',
      `Sandbox ${name} on ${node.name} could not be attached to: ${reason}`,
    )
  } finally {
    clearTimeout(timer)
  }
}

const greeting = Buffer.from('ready\n')

async function readGreeting(stream: SessionStream): Promise<void> {
  for (;;) {
    const chunk: unknown = stream.read(greeting.length)
    if (Buffer.isBuffer(chunk)) {
      if (chunk.equals(greeting)) return
      throw new Error(`expected "ready", got ${JSON.stringify(chunk.toString())}`)
    }
    const { promise, resolve, reject } = Promise.withResolvers<void>()
    const onEnd = (): void => reject(new Error('the session ended at once'))
    stream.once('readable', resolve).once('end', onEnd).once('close', onEnd).once('error', reject)
    try {
      await promise
      if (stream.readableEnded || stream.destroyed) throw new Error('the session ended at once')
    } finally {
      stream.off('readable', resolve).off('end', onEnd).off('close', onEnd).off('error', reject)
    }
  }
}

/** An agent can make millions. */
const mostPaths = 5_000

async function systemPicture(node: SshNode, name: string): Promise<SystemPicture> {
  const answer = await node.call({ verb: 'picture', name: checkedName(name) })
  if (answer.code === gone) throw lost(name)
  // The last one is cut where there is more than node.sh says.
  const entries = succeeded(answer, node).stdout.split('\0')
  const isCut = entries.pop() !== '' || entries.length > mostPaths
  const paths = entries.slice(0, mostPaths).map((entry) => {
    const end = entry.indexOf(' ')
    return [entry.slice(end + 1), entry.slice(0, end)] as const
  })
  return { paths, isCut }
}

async function destroy(node: SshNode, name: string): Promise<void> {
  const { home } = await node.probe()
  const { marker } = sandboxPaths(home, checkedName(name))
  const answer = await node.call({ verb: 'destroy', name, input: `${marker}\n` })
  if (answer.code === stillRunning) {
    throw new RollcallError('provider-unavailable', `Sandbox ${name} could not be removed: something of it still runs`)
  }
  succeeded(answer, node)
}

function succeeded(answer: Answer, node: SshNode): Answer {
  if (answer.code === 0) return answer
  const said = answer.stdout.trim() === '' ? '' : `: ${answer.stdout.trim().slice(-500)}`
  throw new RollcallError('provider-unavailable', `${node.name} answered with exit code ${answer.code}${said}`)
}

function unsupported(problems: readonly Problem[]): RollcallError {
  const lines = problems.map(
    ({ field, value, expected }) => `${field}${value === undefined ? '' : ` (${value})`}: ${expected}`,
  )
  return new RollcallError('runtime-unsupported', `The ssh provider cannot honour ${lines.join('; ')}`)
}

/** For the lock file: what a reader of the results has to know about how the sandbox was kept. */
function notes(spec: SandboxSpec): string[] {
  const limits = unenforcedLimits(spec).map(({ name, value }) => `${name} ${value}`)
  return [
    'in bubblewrap on a node reached by SSH',
    ...(limits.length > 0 ? [`limits not enforced: ${limits.join(', ')}`] : []),
    ...(spec.network.mode === 'public' && !spec.networkAsked ? ['no network, since the task does not ask for it'] : []),
  ]
}

function messageOf(error: unknown): string {
  return error instanceof Error ? error.message : String(error)
}
