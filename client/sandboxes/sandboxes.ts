import { setTimeout as delay } from 'node:timers/promises'
import { RollcallError } from '../../protocol/failure.ts'
import type { PoolStatus, Profile, ReleaseAnswer } from '../../protocol/pool.ts'
import { toolsOf } from './slot-tools.ts'
import type { Runner } from '../../runner/runner.ts'
import type { OwnTool, Tool } from '../../tools/tool.ts'
import { connectTemporal, type TemporalConnection } from '../connect.ts'
import { environmentOfProcess, proveUsable, type ClientEnvironment } from '../environment.ts'
import { archiveArtifacts, type ArchiveArtifactsOptions } from './archive-artifacts.ts'
import type { ExecPlace } from './exec-numbers.ts'
import { KeptLeases } from './keep-leases.ts'
import { listArtifacts, type ListArtifactsOptions } from './list-artifacts.ts'
import { isPoolGone, type PoolClient } from './pool-client.ts'
import { loadProfiles, type ProfileSources } from './profiles.ts'
import { readArtifact, type ReadArtifactOptions, type ReadArtifactResult } from './read-artifact.ts'
import { runRequest, type RequestSettings, type ToolOutcome, type ToolRequest } from './run-request.ts'
import type { SandboxPath, SlotPlace } from './slot-place.ts'
import { SlotRunners, type HandedProviders } from './slot-runners.ts'
import { Slot } from './slot.ts'
import { startPool } from './start-pool.ts'
import { writeArtifact, type WriteArtifactOptions, type WriteArtifactResult } from './write-artifact.ts'

const defaultLeaseMs = 60_000
/** How long an answer waits for its pool to be told of a lost sandbox. */
const reportMs = 2_000
/** What timers take: 24 days, for whoever waits without an end. */
const longestWaitMs = 2 ** 31 - 1

export interface SandboxesOptions extends Pick<ProfileSources, 'profiles' | 'provider' | 'imageMap'> {
  /**
   * Whose pools are started now, by name; others are with their first `acquire`. Default: the profile `default`, if there
   * is one.
   */
  readonly start?: readonly string[]
  /** Name of the pools: programs that say the same share them. Default `default`. */
  readonly pool?: string
  /** How long a slot stays its holder's when this process has died. Default 60 s. */
  readonly leaseMs?: number
  /** Paths of tools and artifacts may lead out of the workspace, as far as the slot's user may. Default false. */
  readonly allowAbsolutePaths?: boolean
  /** Tools of your own (`defineTool`), beside the built-in ones. */
  readonly tools?: readonly OwnTool[]
  /** Variables for commands of `bash`, beside those of the profile. */
  readonly env?: Readonly<Record<string, string>>
  /** Default: the process's own. */
  readonly environment?: ClientEnvironment
  /** One line now and then: a server or worker that was started. */
  readonly onProgress?: (line: string) => void
}

export interface SlotAcquire {
  /** Default: `default`, or the only one there is. */
  readonly profile?: string
  /** How long to wait. Default: the profile's `acquireTimeoutMs`. */
  readonly timeoutMs?: number
  /** Only a sandbox that lives at least this much longer will do. Default 0. */
  readonly neededMs?: number
  /** Stops waiting, and leaves the queue. */
  readonly signal?: AbortSignal
}

/** What the package's entry point hands in. */
export type CreateHandedProviders = (environment: ClientEnvironment) => Promise<HandedProviders>

/**
 * Sandboxes without a taskset: slots of pools, tools in them, and their files. Leases alone are durable, in the pools'
 * workflows; calls go straight to the sandboxes. Any number of processes may use the same pools.
 */
export class DirectSandboxes {
  readonly #profiles: Readonly<Record<string, Profile>>
  readonly #temporal: TemporalConnection
  readonly #options: SandboxesOptions
  readonly #environment: ClientEnvironment
  readonly #providers: HandedProviders
  readonly #runners: SlotRunners
  readonly #leases: KeptLeases
  readonly #pools = new Map<string, Promise<PoolClient>>()
  readonly #tools: ReadonlyMap<string, Tool>
  readonly #stopping = new AbortController()

  protected constructor(at: {
    profiles: Readonly<Record<string, Profile>>
    temporal: TemporalConnection
    options: SandboxesOptions
    environment: ClientEnvironment
    providers: HandedProviders
  }) {
    this.#profiles = at.profiles
    this.#temporal = at.temporal
    this.#options = at.options
    this.#environment = at.environment
    this.#providers = at.providers
    this.#runners = new SlotRunners(at.providers)
    this.#leases = new KeptLeases(at.options.leaseMs ?? defaultLeaseMs)
    this.#tools = toolsOf(at.options.tools ?? [])
  }

  /**
   * Loads the profiles, connects, and starts or attaches to the pools of `start`.
   * @throws RollcallError `configuration-invalid`: every problem of every profile, before anything starts
   */
  protected static async open(options: SandboxesOptions, create: CreateHandedProviders): Promise<DirectSandboxes> {
    const environment = options.environment ?? environmentOfProcess()
    const { env, workingDirectory: directory } = environment
    const profiles = await loadProfiles({ ...options, env, directory })
    const names = options.start ?? Object.keys(profiles).filter((name) => name === 'default')
    for (const name of names) profileOf(profiles, name)
    await proveUsable(environment)
    const onProgress = options.onProgress ?? (() => {})
    const temporal = await connectTemporal({ ...environment, onProgress })
    const providers = await create(environment)
    const sandboxes = new this({ profiles, temporal, options, environment, providers })
    try {
      const [first, ...others] = names
      // The first finds out whether somebody serves; all at once would start a worker each.
      if (first !== undefined) await sandboxes.#pool(first)
      await Promise.all(others.map((name) => sandboxes.#pool(name)))
      return sandboxes
    } catch (error) {
      await sandboxes.close()
      throw error
    }
  }

  /**
   * A slot for a holder: waits in the pool's queue, first come, first served. The same holder gets the same slot again,
   * with its files, also in another process while the lease lives, or later as long as nobody else needed the slot.
   * @throws RollcallError `acquire-timeout` with the place in the queue; `configuration-invalid`; the failure for which no
   *   sandbox of the profile can be made; `cancelled` when this is stopped or closed meanwhile
   */
  async acquire(holder: string, options: SlotAcquire = {}): Promise<Slot> {
    const { profile, timeoutMs, signal, ...rest } = options
    this.#stopping.signal.throwIfAborted()
    const name = profile ?? this.#defaultProfile()
    const pool = await this.#pool(name)
    const lease = await pool.acquire(holder, {
      leaseMs: this.#options.leaseMs ?? defaultLeaseMs,
      ...(timeoutMs === undefined ? {} : { timeoutMs: waitingMs(timeoutMs) }),
      signal: signal === undefined ? this.#stopping.signal : AbortSignal.any([this.#stopping.signal, signal]),
      ...rest,
    })
    return this.#leases.add(new Slot(lease, this.#runners), pool)
  }

  /**
   * Runs requests in any slots, at the same time; those of one slot follow each other unless they say `parallel`.
   * @returns one outcome for each, in the order asked, whatever happens to the others; never throws
   */
  async executeBatch(requests: readonly ToolRequest[], options: { signal?: AbortSignal } = {}): Promise<ToolOutcome[]> {
    const settings: RequestSettings = {
      tools: this.#tools,
      allowAbsolutePaths: this.#options.allowAbsolutePaths ?? false,
      env: this.#options.env ?? {},
      ...options,
    }
    return await Promise.all(
      requests.map(async (request) => {
        const outcome = await runRequest(request, settings)
        if (outcome.failure?.code === 'sandbox-lost') await this.#reportLost(request.slot)
        return outcome
      }),
    )
  }

  /**
   * Gives a slot back. Twice is fine.
   * @param options.resetWorkspace its files go at once; else they stay for this holder until somebody else needs the slot.
   *   Default false
   * @returns `not-held` when it was somebody else's by then, or nobody's
   */
  async release(slot: Slot, options: { resetWorkspace?: boolean } = {}): Promise<ReleaseAnswer> {
    slot.end('released')
    this.#leases.remove(slot)
    const pool = await this.#pool(slot.profile)
    return await pool.release(slot, { reset: options.resetWorkspace ?? false })
  }

  /** A file of the slot. @throws RollcallError `lease-lost`, `sandbox-lost`, `host-lost`, `provider-unavailable` */
  readArtifact(
    slot: Slot,
    path: SandboxPath,
    options: ReadArtifactOptions & { encoding: 'text'; to?: never },
  ): Promise<ReadArtifactResult<string>>
  readArtifact(
    slot: Slot,
    path: SandboxPath,
    options?: ReadArtifactOptions & { encoding?: 'bytes'; to?: never },
  ): Promise<ReadArtifactResult<Buffer>>
  readArtifact(
    slot: Slot,
    path: SandboxPath,
    options: ReadArtifactOptions,
  ): Promise<ReadArtifactResult<string | Buffer | undefined>>
  async readArtifact(
    slot: Slot,
    path: SandboxPath,
    options: ReadArtifactOptions = {},
  ): Promise<ReadArtifactResult<string | Buffer | undefined>> {
    return await this.#inSlot(slot, (place) => readArtifact(place, path, options), options.to !== undefined)
  }

  /** What a directory of the slot holds. @throws as readArtifact */
  async listArtifacts(slot: Slot, path: SandboxPath = '.', options: ListArtifactsOptions = {}) {
    return await this.#inSlot(slot, (place) => listArtifacts(place, path, options))
  }

  /** A directory or file of the slot as an archive. @throws as readArtifact */
  async archiveArtifacts(slot: Slot, path: SandboxPath = '.', options: ArchiveArtifactsOptions = {}) {
    return await this.#inSlot(slot, (place) => archiveArtifacts(place, path, options), true)
  }

  /** A file for the slot, whole or not at all; its directories are made. @throws as readArtifact */
  async writeArtifact(
    slot: Slot,
    file: { path: SandboxPath; content: string | Uint8Array },
    options: WriteArtifactOptions = {},
  ): Promise<WriteArtifactResult> {
    return await this.#inSlot(slot, (place) => writeArtifact(place, file, options))
  }

  /** The pools that this process uses, by profile. */
  async status(): Promise<Record<string, PoolStatus>> {
    const entries = [...this.#pools].map(async ([name, pool]) => [name, await (await pool).status()] as const)
    return Object.fromEntries(await Promise.all(entries))
  }

  /** Every profile, with all its defaults. */
  listProfiles(): readonly Profile[] {
    return Object.values(this.#profiles)
  }

  /**
   * Gives back every slot of this process and lets go of the server.
   * @param options.purge also stops the pools that this process has used, whoever else uses them, and returns when all
   *   their sandboxes are verified gone. Default false: the pools go on; files stay for their holders until somebody needs
   *   the slot, idle sandboxes go down to `minSandboxes`
   */
  async stop(options: { purge?: boolean } = {}): Promise<void> {
    const { purge = false } = options
    this.#endWaiting()
    try {
      const kept = this.#leases.all()
      for (const { slot } of kept) slot.end('released')
      this.#leases.close()
      if (purge) await Promise.all([...this.#pools.values()].map(async (pool) => await (await pool).stop({ purge })))
      else await Promise.all(kept.map(({ slot, pool }) => releaseIfThere(pool, slot)))
    } finally {
      await this.close()
    }
  }

  /** Lets go of everything and gives nothing back: leases live on until they expire. For who comes back. */
  async close(): Promise<void> {
    this.#endWaiting()
    this.#leases.close()
    this.#runners.close()
    await this.#providers.close()
    const pools = await Promise.allSettled(this.#pools.values())
    await Promise.all(pools.map(async (pool) => pool.status === 'fulfilled' && (await pool.value.close())))
    await this.#temporal.close()
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.stop()
  }

  /** Whoever still waits for a slot would get one that nobody gives back. */
  #endWaiting(): void {
    this.#stopping.abort(new RollcallError('cancelled', 'These sandboxes were stopped: start others to acquire a slot'))
  }

  #defaultProfile(): string {
    const names = Object.keys(this.#profiles)
    const [only] = names
    return names.length === 1 && only !== undefined ? only : 'default'
  }

  async #pool(name: string): Promise<PoolClient> {
    const profile = profileOf(this.#profiles, name)
    const { pool, onProgress } = this.#options
    const known =
      this.#pools.get(name) ??
      startPool({
        temporal: this.#temporal,
        environment: this.#environment,
        profile,
        ...(pool === undefined ? {} : { pool }),
        ...(onProgress === undefined ? {} : { onProgress }),
      })
    this.#pools.set(name, known)
    try {
      return await known
    } catch (error) {
      this.#pools.delete(name)
      throw error
    }
  }

  /** @param isApart what comes out goes to somebody who may take it slowly */
  async #inSlot<Result>(slot: Slot, work: (place: SlotPlace) => Promise<Result>, isApart = false): Promise<Result> {
    const { workspace } = slot
    const root = this.#options.allowAbsolutePaths ? '/' : workspace
    const user = slot.user === undefined ? {} : { user: slot.user }
    const run = (runner: Runner, { execId }: ExecPlace) => work({ runner, workspace, root, execId, ...user })
    return isApart ? await slot.useApart(run) : await slot.use(undefined, run)
  }

  /** The pool looks after the sandbox at once, and its holder can have another slot. */
  async #reportLost(slot: Slot): Promise<void> {
    this.#leases.remove(slot)
    const told = this.#pool(slot.profile).then((pool) => pool.release(slot, { suspect: true }))
    // A server that is away must hold up no answer: then the pool finds it out by itself.
    await Promise.race([told.catch(() => undefined), delay(reportMs, undefined, { ref: false })])
  }
}

/** @throws RangeError: what is no time is a mistake of the program */
function waitingMs(timeoutMs: number): number {
  if (timeoutMs >= 0) return Math.min(timeoutMs, longestWaitMs)
  throw new RangeError(`timeoutMs is ${timeoutMs}: expected milliseconds, 0 or more`)
}

async function releaseIfThere(pool: PoolClient, slot: Slot): Promise<void> {
  await pool.release(slot, { reset: false }).catch((error: unknown) => {
    if (!isPoolGone(error)) throw error
  })
}

function profileOf(profiles: Readonly<Record<string, Profile>>, name: string): Profile {
  const profile = Object.hasOwn(profiles, name) ? profiles[name] : undefined
  if (profile !== undefined) return profile
  const known = Object.keys(profiles).join(', ')
  throw new RollcallError(
    'configuration-invalid',
    `There is no profile ${JSON.stringify(name)}: expected one of ${known}`,
  )
}
