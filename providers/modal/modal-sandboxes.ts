import { setTimeout as wait } from 'node:timers/promises'
import type { Sandbox as Handle } from 'modal'
import pLimit from 'p-limit'
import { RollcallError } from '../../protocol/failure.ts'
import type { CreateRequest, FoundSandbox, Ownership } from '../contract/provider.ts'
import { createParams } from './create-params.ts'
import type { ModalAccount } from './modal-account.ts'
import { isNotFound, isOver, isTaken } from './modal-errors.ts'
import type { ModalImage } from './modal-images.ts'
import { labelTags, readTags, tagsOf, type TaggedSandbox } from './modal-tags.ts'
import { readinessCommand } from './runner-programs.ts'

/** Tags come one call for each sandbox. */
const callsAtOnce = 8

const removalTimeoutMs = 120_000

/** A sandbox as Modal knows it now. */
export interface KnownSandbox extends TaggedSandbox {
  readonly handle: Handle
  readonly name: string
  /** Undefined while it runs. */
  readonly exitCode: number | undefined
}

/** Creating, adopting, finding and removing, each safe to repeat by name. */
export class ModalSandboxes {
  readonly #account: ModalAccount
  readonly #limit = pLimit(callsAtOnce)

  constructor(account: ModalAccount) {
    this.#account = account
  }

  /** @returns undefined when there is none, when it was removed, or when Rollcall did not make it */
  async find(name: string): Promise<KnownSandbox | undefined> {
    const known = await this.#look(name)
    return known?.exitCode !== undefined && known.place.isRemoved === true ? undefined : known
  }

  /**
   * Takes the sandbox of that name over if it is the one asked for.
   * @returns undefined when there is none. @throws `sandbox-conflict`, `sandbox-lost`
   */
  async adopt(request: CreateRequest): Promise<FoundSandbox | undefined> {
    const known = await this.find(request.name)
    if (known === undefined) return undefined
    refuseOther(known, request.ownership)
    if (known.exitCode !== undefined) throw lost(known)
    return found(await this.#ready(known))
  }

  /**
   * Creates; one that is there already is adopted, and so is one whose creation was not answered. The SDK repeats a
   * creation under the same key, but not for ever, and not across processes: the name is what makes it one.
   */
  async create(request: CreateRequest, image: ModalImage): Promise<FoundSandbox> {
    const app = await this.#account.app()
    const { settings } = this.#account
    try {
      await this.#limit(async () => {
        const { sandboxes, secrets } = this.#account.client
        const named = await Promise.all(settings.secrets.map((secret) => secrets.fromName(secret)))
        const handle = await sandboxes.create(
          app,
          image.image,
          createParams(request, image, { settings, secrets: named }),
        )
        handle.detach()
      })
    } catch (error) {
      const adopted = await this.adopt(request)
      if (adopted !== undefined) return adopted
      if (isTaken(error)) throw taken(request.name)
      throw this.#account.meaningOf(`create the sandbox ${request.name}`, error)
    }
    const sandbox = await this.adopt(request)
    if (sandbox === undefined) throw lostName(request.name, 'it was removed while it was being started')
    return sandbox
  }

  /** Returns when it is verified gone. A sandbox that Rollcall did not make is left alone. */
  async destroy(name: string): Promise<void> {
    const deadline = Date.now() + removalTimeoutMs
    for (let delayMs = 50; Date.now() < deadline; delayMs = Math.min(delayMs * 2, 2_000)) {
      const known = await this.find(name)
      if (known === undefined) return
      await this.#remove(known)
      if (known.exitCode !== undefined) return
      if ((await this.find(name)) === undefined) return
      await wait(delayMs)
    }
    throw new RollcallError(
      'provider-unavailable',
      `Sandbox ${name} is still there ${removalTimeoutMs} ms after its end.`,
    )
  }

  /** Those that run: Modal lists no others, and one that has ended costs nothing and holds nothing. */
  async list(labels: Partial<Ownership>): Promise<FoundSandbox[]> {
    const app = await this.#account.app()
    const handles = await this.#account.ask('list sandboxes', async ({ sandboxes }) => {
      const listed: Handle[] = []
      for await (const handle of sandboxes.list({ appId: app.appId, tags: labelTags(labels) })) listed.push(handle)
      return listed
    })
    const all = await Promise.all(handles.map((handle) => this.#limit(() => this.#describe(handle))))
    const running = all.filter((known) => known !== undefined).filter(({ exitCode }) => exitCode === undefined)
    return running.map((known) => found(known))
  }

  async #look(name: string): Promise<KnownSandbox | undefined> {
    const { app } = this.#account.settings
    const handle = await this.#account.ask(`find the sandbox ${name}`, async ({ sandboxes }) => {
      try {
        return await sandboxes.fromName(app, name, { includeTerminated: true })
      } catch (error) {
        if (!isNotFound(error)) throw error
      }
      try {
        // Those with a GPU are of an older kind, which has no name any more when it has ended.
        return await sandboxes.fromName(app, name)
      } catch (error) {
        if (isNotFound(error)) return undefined
        throw error
      }
    })
    return handle && (await this.#describe(handle))
  }

  /** The state before the tags: who removes one marks it before he ends it. */
  async #describe(handle: Handle): Promise<KnownSandbox | undefined> {
    const { sandboxId } = handle
    try {
      const exitCode = (await handle.poll()) ?? undefined
      const tagged = readTags(await handle.getTags())
      return tagged && { ...tagged, handle, name: tagged.place.name, exitCode }
    } catch (error) {
      if (isNotFound(error)) return undefined
      throw this.#account.meaningOf(`ask for the sandbox ${sandboxId}`, error)
    }
  }

  /** Sees that the runner answers, and notes where the image has its commands start. */
  async #ready(known: KnownSandbox): Promise<KnownSandbox> {
    if (known.place.workdir !== undefined && known.place.isReady === true) return known
    try {
      const said = await this.#startDirectory(known)
      const place = { ...known.place, workdir: known.place.workdir ?? said, isReady: true }
      const tags = tagsOf({ ownership: known.ownership, place })
      await this.#account.ask(`note where ${known.name} starts commands`, () => known.handle.setTags(tags))
      return { ...known, place }
    } finally {
      known.handle.detach()
    }
  }

  async #startDirectory(known: KnownSandbox): Promise<string> {
    try {
      const process = await known.handle.exec([...readinessCommand], { stderr: 'ignore' })
      const [said, code] = await Promise.all([process.stdout.readText(), process.wait()])
      if (code === 0) return said.replace(/\n$/, '')
    } catch (error) {
      const now = await this.#look(known.name)
      if (now !== undefined && now.exitCode === undefined) {
        throw this.#account.meaningOf(`start a command in ${known.name}`, error)
      }
    }
    throw await this.#whyNotReady(known)
  }

  async #whyNotReady(known: KnownSandbox): Promise<RollcallError> {
    const now = await this.#look(known.name)
    if (now?.exitCode !== undefined && ![126, 127, 128].includes(now.exitCode)) return lost(now)
    const { image } = known.place
    return new RollcallError('sandbox-create-failed', `Image ${image}: expected a POSIX sh and setsid in it.`)
  }

  async #remove(known: KnownSandbox): Promise<void> {
    const tags = tagsOf({ ownership: known.ownership, place: { ...known.place, isRemoved: true } })
    try {
      await known.handle.setTags(tags)
      if (known.exitCode === undefined) await known.handle.terminate({ wait: true })
    } catch (error) {
      // Somebody else was faster.
      if (!isOver(error)) throw this.#account.meaningOf(`remove the sandbox ${known.name}`, error)
    }
  }
}

/** What the contract says about it. */
export function found({ name, place, handle, ownership, exitCode }: KnownSandbox): FoundSandbox {
  const sandbox = {
    name,
    id: handle.sandboxId,
    image: place.image,
    workdir: place.workdir ?? '/',
    ownership,
    createdMs: place.createdMs,
  }
  return exitCode === undefined
    ? { ...sandbox, state: 'running' }
    : { ...sandbox, state: 'dead', reason: why(exitCode) }
}

/** 124 is Modal's for its own timeout; the runner's supervisor ends with 0 when the lifetime is over, and only then. */
function why(exitCode: number): 'lifetime' | 'exited' | 'unknown' {
  if (exitCode === 0 || exitCode === 124) return 'lifetime'
  return exitCode === 137 ? 'unknown' : 'exited'
}

export function lost(known: KnownSandbox): RollcallError {
  return lostName(known.name, `it has ended (${why(known.exitCode ?? 137)}, exit code ${known.exitCode})`)
}

export function lostName(name: string, reason: string): RollcallError {
  return new RollcallError('sandbox-lost', `Sandbox ${name} on Modal is lost: ${reason}.`)
}

function taken(name: string): RollcallError {
  const message = `Sandbox name ${name} is taken by a sandbox that Rollcall did not make; remove that or use another app.`
  return new RollcallError('sandbox-conflict', message)
}

function refuseOther(known: KnownSandbox, wanted: Ownership): void {
  const { ownership, name } = known
  if (ownership.owner === wanted.owner && ownership.spec === wanted.spec) return
  const detail = ownership.owner === wanted.owner ? ' from another specification' : ''
  throw new RollcallError(
    'sandbox-conflict',
    `Sandbox ${name} belongs to ${ownership.owner} of ${ownership.workflow}${detail}, expected ${wanted.owner} of ${wanted.workflow}; remove it or use another job id.`,
  )
}
