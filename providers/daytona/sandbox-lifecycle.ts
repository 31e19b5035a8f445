import { setTimeout as wait } from 'node:timers/promises'
import type { Duplex } from 'node:stream'
import pLimit from 'p-limit'
import { RollcallError } from '../../protocol/failure.ts'
import type { CreateRequest, FoundSandbox, Ownership, Sandbox } from '../contract/provider.ts'
import { checkedName, hasLabels, lost, refuseOther } from '../host-sandbox/names-and-owners.ts'
import { createParams, variablesScript } from './create-params.ts'
import type { DaytonaAccount } from './daytona-account.ts'
import { daytonaError, isConflict, startError } from './daytona-errors.ts'
import { ownershipLabels, readLabels, workdirLabel } from './daytona-labels.ts'
import type { DaytonaSandbox } from './daytona-sdk.ts'
import { withImage } from './image-source.ts'
import { askInside, boot, type InsideState } from './inside-sandbox.ts'
import { attachByPty } from './pty-stream.ts'
import { createdMs, foundSandbox, lifeOf } from './sandbox-state.ts'

/** How long the SDK itself waits for a creation; then this provider goes on waiting, by name. In seconds. */
const longestCreateS = 60
const longestPollMs = 1_000
const destroyTimeoutMs = 120_000
/** Daytona's list may not know a new sandbox for so long. */
const listLagMs = 120_000
const lookUpsAtOnce = 8

/** Creating, adopting, finding and removing sandboxes at Daytona, each safe to repeat by name. */
export class SandboxLifecycle {
  readonly #account: DaytonaAccount
  readonly #limit = pLimit(lookUpsAtOnce)
  /** Names of what this process has made lately, by when: a hint where the list lags, never the truth. */
  readonly #made = new Map<string, number>()

  constructor(account: DaytonaAccount) {
    this.#account = account
  }

  /** @throws as the contract says; a creation whose answer was lost is looked up by its name and adopted. */
  async createOrAdopt(request: CreateRequest): Promise<Sandbox> {
    const { name, ownership, spec } = request
    const deadline = Date.now() + spec.limits.startTimeoutMs
    const known = await this.#account.get(checkedName(name))
    const { sandbox, isNew } = known === undefined ? await this.#create(request) : { sandbox: known, isNew: false }
    this.#made.set(name, Date.now())
    refuseForeign(sandbox, ownership)
    const started = await this.#untilStarted(sandbox, request, deadline)
    const workdir = await this.#bring(started, { request, isNew })
    const { image = '' } = readLabels(started.labels)?.notes ?? {}
    return { name, id: started.id, image, workdir }
  }

  async find(name: string): Promise<FoundSandbox | undefined> {
    return await this.#lookUp(checkedName(name))
  }

  /** Daytona's index lags in both directions: each sandbox is looked up, and those made here lately as well. */
  async list(labels: Partial<Ownership>): Promise<FoundSandbox[]> {
    for (const [name, madeMs] of this.#made) if (Date.now() - madeMs > listLagMs) this.#made.delete(name)
    const listed = await this.#account.list(ownershipLabels(labels))
    const ids = listed.filter((sandbox) => readLabels(sandbox.labels) !== undefined).map(({ id }) => id)
    const all = [...ids, ...this.#made.keys()].map((nameOrId) => this.#limit(() => this.#lookUp(nameOrId)))
    const found = (await Promise.all(all)).filter((sandbox) => sandbox !== undefined)
    const byId = new Map(found.map((sandbox) => [sandbox.id, sandbox]))
    return [...byId.values()].filter((sandbox) => hasLabels(sandbox.ownership, labels))
  }

  async connect(name: string): Promise<Duplex> {
    const sandbox = await this.#account.get(checkedName(name))
    await this.#requireAlive(name, sandbox)
    if (sandbox === undefined) throw lost(name)
    try {
      return await attachByPty(sandbox)
    } catch (error) {
      const now = await this.#account.get(sandbox.id)
      await this.#requireAlive(name, now)
      const inside = await this.#inside(sandbox, 'ask how it is', () => askInside(sandbox))
      if (inside.state !== 'alive') throw lost(name, describeInside(inside))
      const failure = daytonaError(`attach to sandbox ${name}`, error)
      throw failure.code === 'provider-auth' || failure.code === 'provider-busy' ? failure : unavailable(failure)
    }
  }

  /** Returns when Daytona no longer has it. A sandbox that Rollcall did not make is left alone. */
  async destroy(name: string): Promise<void> {
    const sandbox = await this.#account.get(checkedName(name))
    if (sandbox === undefined || readLabels(sandbox.labels) === undefined) return
    const deadline = Date.now() + destroyTimeoutMs
    for (let pauseMs = 50; Date.now() < deadline; pauseMs = Math.min(pauseMs * 2, longestPollMs)) {
      // The name is free as soon as the removal begins, so the id alone tells when it is over.
      const now = await this.#account.get(sandbox.id)
      if (now === undefined) {
        this.#made.delete(name)
        return
      }
      if (now.state !== 'destroying') await this.#remove(now)
      await wait(pauseMs)
    }
    throw new RollcallError(
      'provider-unavailable',
      `Sandbox ${name} is still at Daytona ${destroyTimeoutMs} ms after its removal began.`,
    )
  }

  async #remove(sandbox: DaytonaSandbox): Promise<void> {
    await this.#account
      .repeat(`remove sandbox ${sandbox.name}`, () => sandbox.delete(60))
      .catch((error: unknown) => {
        // 404: gone. 409: it is being changed, by another removal perhaps; the state says when that is over.
        const { code, cause } = daytonaError('remove', error)
        if (code !== 'sandbox-lost' && !isConflict(cause)) throw error
      })
  }

  async #create(request: CreateRequest): Promise<{ sandbox: DaytonaSandbox; isNew: boolean }> {
    const { name, spec, onProgress } = request
    const { sdk, client } = await this.#account.open()
    onProgress?.('creating')
    try {
      const timeout = Math.max(1, Math.min(longestCreateS, spec.limits.startTimeoutMs / 1_000))
      const params = createParams(request, this.#account.access)
      const sandbox = await untilAborted(request.signal, () =>
        withImage(sdk, spec, (image) => client.create({ ...params, ...image }, { timeout })),
      )
      return { sandbox, isNew: true }
    } catch (error) {
      request.signal?.throwIfAborted()
      const failure = daytonaError(`create sandbox ${name}`, error)
      // It exists already, or nobody knows: no answer, no answer in time, or an outage while it came up.
      if (failure.code !== 'provider-unavailable') throw failure
      const found = await this.#account.get(name)
      if (found === undefined) throw failure
      return { sandbox: found, isNew: false }
    }
  }

  async #untilStarted(sandbox: DaytonaSandbox, request: CreateRequest, deadline: number): Promise<DaytonaSandbox> {
    const { name, signal, onProgress, spec } = request
    let now: DaytonaSandbox | undefined = sandbox
    for (let pauseMs = 100; lifeOf(now) === 'coming'; pauseMs = Math.min(pauseMs * 1.5, longestPollMs)) {
      signal?.throwIfAborted()
      if (Date.now() > deadline) {
        throw new RollcallError(
          'sandbox-start-timeout',
          `Sandbox ${name} was not ready within ${spec.limits.startTimeoutMs} ms; it is ${now.state} at Daytona.`,
        )
      }
      onProgress?.(now.state === 'pending_build' || now.state === 'building_snapshot' ? 'building image' : 'starting')
      await wait(pauseMs, undefined, { signal })
      now = await this.#account.get(sandbox.id)
      if (now === undefined) throw lost(name, 'it was removed while it was being started')
    }
    if (lifeOf(now) === 'running') return now
    if (now.state === 'error' || now.state === 'build_failed') throw startError(name, now.state, now.errorReason ?? '')
    throw lost(name, `it is ${now.state} at Daytona`)
  }

  /** Starts the runner inside where nobody has yet, and keeps the working directory that only the inside knows. */
  async #bring(
    sandbox: DaytonaSandbox,
    { request, isNew }: { request: CreateRequest; isNew: boolean },
  ): Promise<string> {
    request.onProgress?.('starting')
    const variables = variablesScript(request)
    let inside: InsideState = { state: 'empty' }
    if (!isNew) inside = await this.#inside(sandbox, 'ask how it is', () => askInside(sandbox))
    if (inside.state === 'empty' || inside.state === 'begun') {
      inside = await this.#inside(sandbox, 'start the runner', () => boot(sandbox, request, variables))
    }
    if (inside.state !== 'alive') throw notStarted(sandbox.name, inside)
    const { workdir } = inside
    if (sandbox.labels[workdirLabel] !== workdir) {
      const labels = { ...sandbox.labels, [workdirLabel]: workdir }
      await this.#account.repeat(`label sandbox ${sandbox.name}`, () => sandbox.setLabels(labels))
    }
    return workdir
  }

  /** A call of the sandbox's own daemon. Whether a sandbox is lost is decided by its state, never by what a call said. */
  async #inside<T>(sandbox: DaytonaSandbox, doing: string, call: () => Promise<T>): Promise<T> {
    try {
      return await this.#account.repeat(`${doing} (sandbox ${sandbox.name})`, call)
    } catch (error) {
      const now = await this.#account.get(sandbox.id)
      if (now === undefined || lifeOf(now) === 'dead') throw lost(sandbox.name, now?.state)
      const failure = daytonaError(doing, error)
      throw failure.code === 'provider-auth' || failure.code === 'provider-busy' ? failure : unavailable(failure)
    }
  }

  /** What is being removed has no name any more, and is nobody's. */
  async #lookUp(nameOrId: string): Promise<FoundSandbox | undefined> {
    const sandbox = await this.#account.get(nameOrId)
    if (sandbox === undefined || sandbox.state === 'destroying') return undefined
    return readLabels(sandbox.labels) && foundSandbox(sandbox, await this.#endOf(sandbox))
  }

  /** Asks inside only when the lifetime may be over, so that looking up costs one request. */
  async #endOf(sandbox: DaytonaSandbox): Promise<FoundSandbox['reason']> {
    const { lifetimeMs = Infinity } = readLabels(sandbox.labels)?.notes ?? {}
    const isDue = Date.now() >= createdMs(sandbox) + lifetimeMs
    const life = lifeOf(sandbox)
    if (life === 'dead') return isDue ? 'lifetime' : 'exited'
    if (life === 'coming' || !isDue) return undefined
    try {
      const inside = await this.#inside(sandbox, 'ask how it is', () => askInside(sandbox))
      if (inside.state === 'alive' || inside.state === 'empty') return undefined
      return inside.state === 'ended' && inside.code === 0 ? 'lifetime' : 'exited'
    } catch (error) {
      if (error instanceof RollcallError && error.code === 'sandbox-lost') return 'lifetime'
      throw error
    }
  }

  async #requireAlive(name: string, sandbox: DaytonaSandbox | undefined): Promise<void> {
    if (sandbox === undefined) throw lost(name)
    const end = await this.#endOf(sandbox)
    if (end !== undefined) throw lost(name, end)
  }
}

/** Stops waiting at the signal; what was begun goes on, and is found by its name. */
async function untilAborted<T>(signal: AbortSignal | undefined, begin: () => Promise<T>): Promise<T> {
  signal?.throwIfAborted()
  const { promise, reject } = Promise.withResolvers<never>()
  const stop = (): void => reject(signal?.reason)
  signal?.addEventListener('abort', stop, { once: true })
  try {
    return await Promise.race([begin(), promise])
  } finally {
    signal?.removeEventListener('abort', stop)
  }
}

function refuseForeign(sandbox: DaytonaSandbox, asked: Ownership): void {
  const labels = readLabels(sandbox.labels)
  if (labels !== undefined) return refuseOther({ name: sandbox.name, ownership: labels.ownership }, asked)
  throw new RollcallError(
    'sandbox-conflict',
    `Sandbox ${sandbox.name} at Daytona belongs to nobody of Rollcall, not to ${asked.owner} (${asked.workflow}); remove it or use another job id.`,
  )
}

function notStarted(name: string, inside: InsideState): RollcallError {
  if (inside.state === 'empty') {
    return new RollcallError(
      'sandbox-create-failed',
      `Sandbox ${name}: the runner could not be started; expected sh, setsid, stty and tar in the image.`,
    )
  }
  return lost(name, describeInside(inside))
}

function describeInside(inside: InsideState): string {
  if (inside.state === 'ended') {
    return inside.code === 0 ? 'it reached the end of its lifetime' : `its main process ended with code ${inside.code}`
  }
  return 'its main process is gone'
}

function unavailable(failure: RollcallError): RollcallError {
  return new RollcallError('provider-unavailable', failure.message, { cause: failure })
}
