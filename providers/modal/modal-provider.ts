import type { Duplex } from 'node:stream'
import { setTimeout as delay } from 'node:timers/promises'
import { RollcallError } from '../../protocol/failure.ts'
import { longestTimerMs } from '../../protocol/longest-timer.ts'
import type { Capabilities, CreateRequest, Provider, Sandbox } from '../contract/provider.ts'
import { checkedName } from '../host-sandbox/names-and-owners.ts'
import { ExecStream } from './exec-stream.ts'
import { ModalAccount } from './modal-account.ts'
import { checkSpec } from './modal-check.ts'
import { ModalImages } from './modal-images.ts'
import { found, lost, lostName, ModalSandboxes } from './modal-sandboxes.ts'
import type { ModalSettings } from './modal-settings.ts'
import { attachProgram } from './runner-programs.ts'

export const modalCapabilities: Capabilities = {
  durable: true,
  dockerfile: 'full',
  networkModes: ['public', 'none', 'allowlist'],
  resources: ['cpus', 'memoryMiB', 'gpus'],
  mounts: false,
  users: true,
  imageLayers: true,
  endsIdle: true,
}

/** Beyond the time that an order may take to start: Modal may look for a GPU meanwhile, and the name is kept. */
const creationMarginMs = 120_000

/**
 * Sandboxes are those of one app of one Modal account, which is the place. Loads the SDK and reaches nothing.
 * @throws `configuration-invalid` where the SDK is not there
 */
export async function createModalProvider(settings: ModalSettings): Promise<Provider> {
  const account = await ModalAccount.open(settings)
  const images = new ModalImages(account)
  const sandboxes = new ModalSandboxes(account)
  return {
    name: 'modal',
    capabilities: modalCapabilities,
    place: async () => `modal:${(await account.app()).appId}`,
    check: async (spec) => {
      await account.assertUsable()
      return await checkSpec(spec, settings)
    },
    createOrAdopt: (request) => createOrAdopt({ settings, images, sandboxes }, request),
    find: async (name) => {
      const known = await sandboxes.find(checkedName(name))
      return known && found(known)
    },
    connect: (name) => connect({ account, sandboxes }, checkedName(name)),
    destroy: (name) => sandboxes.destroy(checkedName(name)),
    list: (labels) => sandboxes.list(labels),
    close: async () => account.close(),
  }
}

interface Making {
  readonly settings: ModalSettings
  readonly images: ModalImages
  readonly sandboxes: ModalSandboxes
}

/** Adoption comes first, so that a sandbox that is there needs no image. */
async function createOrAdopt({ settings, images, sandboxes }: Making, request: CreateRequest): Promise<Sandbox> {
  const [problem] = await checkSpec(request.spec, settings)
  if (problem !== undefined) {
    throw new RollcallError('runtime-unsupported', `Modal cannot honour ${problem.field}: ${problem.expected}`)
  }
  checkedName(request.name)
  request.signal?.throwIfAborted()
  const adopted = await sandboxes.adopt(request)
  if (adopted !== undefined) return asSandbox(adopted)
  const image = await withinStartTimeout(request, images.resolve(request))
  request.signal?.throwIfAborted()
  request.onProgress?.('starting')
  return asSandbox(await withinStartTimeout(request, sandboxes.create(request, image), creationMarginMs))
}

function asSandbox({ name, id, image, workdir }: Sandbox): Sandbox {
  return { name, id, image, workdir }
}

/** The SDK cannot be told to stop: what is given up here goes on, and is found by its name. */
async function withinStartTimeout<T>({ name, spec, signal }: CreateRequest, work: Promise<T>, moreMs = 0): Promise<T> {
  const limitMs = Math.min(spec.limits.startTimeoutMs + moreMs, longestTimerMs)
  const over = new AbortController()
  const late = delay(limitMs, undefined, { signal: over.signal }).then(() => {
    throw new RollcallError('sandbox-start-timeout', `Sandbox ${name} was not ready within ${limitMs} ms.`)
  })
  late.catch(() => {})
  const aborted = new Promise<never>((_resolve, reject) => {
    signal?.addEventListener('abort', () => reject(signal.reason), { signal: over.signal })
  })
  aborted.catch(() => {})
  work.catch(() => {})
  try {
    return await Promise.race([work, late, ...(moreMs > 0 ? [] : [aborted])])
  } finally {
    over.abort()
  }
}

interface Reaching {
  readonly account: ModalAccount
  readonly sandboxes: ModalSandboxes
}

/** One command in the sandbox for each attachment. Whether it is lost is decided by asking for its state alone. */
async function connect({ account, sandboxes }: Reaching, name: string): Promise<Duplex> {
  const known = await sandboxes.find(name)
  if (known === undefined) throw lostName(name, 'it is gone')
  if (known.exitCode !== undefined) throw lost(known)
  const { handle, place } = known
  const { command, env } = attachProgram({
    workdir: place.workdir ?? '/',
    ...(place.user !== undefined && { user: place.user }),
  })
  try {
    const process = await handle.exec(command, { mode: 'binary', stderr: 'ignore', env: { ...env } })
    return new ExecStream(process, () => handle.detach())
  } catch (error) {
    handle.detach()
    const now = await sandboxes.find(name)
    if (now === undefined) throw lostName(name, 'it is gone')
    if (now.exitCode !== undefined) throw lost(now)
    throw account.meaningOf(`attach to the sandbox ${name}`, error)
  }
}
