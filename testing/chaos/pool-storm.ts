import { setTimeout as delay } from 'node:timers/promises'
import { SandboxAttachments } from '../../activities/sandboxes.ts'
import { connectTemporal, namespaceUuid } from '../../client/connect.ts'
import type { TemporalConnection } from '../../client/connect.ts'
import { PoolClient } from '../../client/sandboxes/pool-client.ts'
import { startPool } from '../../client/sandboxes/start-pool.ts'
import { serverStatus } from '../../client/server/server.ts'
import type { Profile, SlotLease } from '../../protocol/pool.ts'
import type { FoundSandbox, Ownership, Provider } from '../../providers/contract/provider.ts'
import type { DurabilityHome } from '../durability-home.ts'
import { WorkerPool } from '../worker-pool.ts'
import { signalProcess } from './processes.ts'
import { seeded } from './seeded.ts'
import type { Seeded } from './seeded.ts'

export interface PoolStormOptions {
  readonly seed: number
  readonly home: DurabilityHome
  readonly provider: Provider
  readonly profile: Profile
  /** Holders that come and go; more than there are slots. */
  readonly holders: number
  /** What each of them does so many times. */
  readonly rounds: number
  readonly faults: number
  readonly log: (line: string) => void
}

export interface PoolStormReport {
  readonly injected: readonly string[]
  /** Leases that were had and given back by those who had them. */
  readonly rounds: number
  /** Rounds that ended because their sandbox was killed. */
  readonly lost: number
  readonly mostRunning: number
  readonly broken: readonly string[]
}

type Fault = 'worker-killed' | 'workers-killed' | 'server-killed' | 'server-paused' | 'sandbox-killed' | 'holder-killed'
const kinds: readonly [Fault, ...Fault[]] = [
  'worker-killed',
  'workers-killed',
  'server-killed',
  'server-paused',
  'sandbox-killed',
  'holder-killed',
]
const leaseMs = 20_000

/** A pool whose holders work in its slots while workers, server and sandboxes are killed. */
export class PoolStorm {
  readonly #options: PoolStormOptions
  readonly #random: Seeded
  readonly #broken: string[] = []
  readonly #injected: string[] = []
  readonly #attachments = new SandboxAttachments(1_000)
  /** Who has which slot now, as the holders know it. */
  readonly #held = new Map<string, string>()
  /** Names of sandboxes that were killed. */
  readonly #killed = new Set<string>()
  readonly #workers: WorkerPool
  #rounds = 0
  #lost = 0
  #mostRunning = 0
  #calls = 0
  #isOver = false
  #ours: Partial<Ownership> = { workflow: 'none' }

  constructor(options: PoolStormOptions) {
    this.#options = options
    this.#random = seeded(options.seed)
    const { env, stateDirectory, cacheDirectory, storeUrl } = options.home.environment
    this.#workers = new WorkerPool({
      entry: 'workers/main.ts',
      args: [JSON.stringify({ stateDirectory, cacheDirectory, storeUrl })],
      env,
      log: `${options.home.folder}/workers.log`,
    })
  }

  async rage(): Promise<PoolStormReport> {
    const { home, profile } = this.#options
    const temporal = await connectTemporal({ ...home.environment, onProgress: () => {} })
    await Promise.all([this.#workers.start(), this.#workers.start()])
    const pool = await startPool({ temporal, environment: home.environment, profile })
    this.#ours = { workflow: pool.id, namespace: await namespaceUuid(temporal.client) }
    const watching = this.#watch()
    try {
      await this.#live(pool, temporal)
      await pool.stop({ purge: true })
      const left = await this.#sandboxes()
      for (const { name } of left) this.#broken.push(`${name} is left`)
    } finally {
      this.#isOver = true
      await watching
      this.#attachments.close()
      await this.#workers.close()
      await pool.close()
      await temporal.close()
    }
    const [injected, broken] = [this.#injected, this.#broken]
    return { injected, rounds: this.#rounds, lost: this.#lost, mostRunning: this.#mostRunning, broken }
  }

  /** Another server on the same Engine may have a pool of the same name. */
  #sandboxes(): Promise<FoundSandbox[]> {
    return this.#options.provider.list(this.#ours)
  }

  async #live(pool: PoolClient, temporal: TemporalConnection): Promise<void> {
    const { holders, rounds } = this.#options
    const ends = Promise.withResolvers<void>()
    const keeper = this.#keep(pool, ends.promise)
    keeper.catch(() => undefined)
    const comers = Array.from({ length: holders }, async (_, index) => {
      // A client of its own: what one has in flight is not what another waits for.
      const client = new PoolClient({ client: temporal.client, id: pool.id })
      for (let round = 0; round < rounds; round += 1) await this.#round(client, `h${index}`)
      await client.close()
    })
    await Promise.all([this.#inject(pool), ...comers])
    ends.resolve()
    await keeper
  }

  /** One who holds on to a slot from the beginning to the end: what it left there must be there, and what it started run. */
  async #keep(pool: PoolClient, ends: Promise<void>): Promise<void> {
    let isOver = false
    void ends.then(() => (isOver = true))
    const lease = await pool.acquire('keeper', { leaseMs, timeoutMs: 120_000 })
    await this.#inKept(lease, 'echo keeper >owner; (while :; do echo x >>alive; sleep 0.2; done) >/dev/null 2>&1 &')
    while (!isOver) {
      await delay(1_000)
      const [answer] = await pool.renew([lease])
      if (answer?.state === 'lost') {
        if (!this.#killed.has(lease.sandbox)) this.#broken.push(`the keeper's lease was lost: ${answer.reason}`)
        return
      }
      const again = await pool.acquire('keeper', { leaseMs, timeoutMs: 120_000 })
      if (again.id !== lease.id && !this.#killed.has(lease.sandbox)) this.#broken.push('the keeper got another lease')
      if (again.id !== lease.id) return
    }
    const said = await this.#inKept(lease, 'cat owner; wc -l <alive; sleep 0.6; wc -l <alive')
    const [owner, before, after] = said?.split('\n') ?? []
    if (this.#killed.has(lease.sandbox)) return
    if (owner !== 'keeper') this.#broken.push(`the keeper's file says ${owner}`)
    if (!(Number(after) > Number(before))) this.#broken.push("the keeper's process does not run")
    await pool.release(lease)
  }

  /** What it came to, unless the sandbox was killed. */
  async #inKept(lease: SlotLease, script: string): Promise<string | undefined> {
    return await this.#in(lease, script).catch((error: unknown) => {
      if (!this.#killed.has(lease.sandbox)) this.#broken.push(`keeper: ${String(error)}`)
      return undefined
    })
  }

  async #round(pool: PoolClient, holder: string): Promise<void> {
    const lease = await pool.acquire(holder, { leaseMs, timeoutMs: 180_000 })
    const key = `${lease.sandbox}/${lease.slot}`
    const other = this.#held.get(key)
    if (other !== undefined) this.#broken.push(`${key} was given to ${holder} while ${other} had it`)
    this.#held.set(key, holder)
    try {
      const found = await this.#in(
        lease,
        `ls -A; cat owner 2>/dev/null; echo ${holder} >owner; sleep 30 >/dev/null 2>&1 &`,
      )
      const isOwn = lease.hasFiles && found.split('\n').includes(holder)
      if (found !== '' && !isOwn) this.#broken.push(`${holder} found in ${key}: ${found}`)
      await delay(this.#random.whole(50, 400))
      const said = await this.#in(lease, 'cat owner')
      if (said !== holder) this.#broken.push(`${holder} lost ${key} to ${said}`)
      this.#held.delete(key)
      await pool.release(lease, { reset: this.#random.next() < 0.7 })
      this.#rounds += 1
    } catch (error) {
      this.#held.delete(key)
      if (!this.#killed.has(lease.sandbox)) this.#broken.push(`${holder} in ${key}: ${String(error)}`)
      this.#lost += 1
      await pool.release(lease, { suspect: true })
    }
  }

  /** Runs a script in the slot as its user. */
  async #in(lease: SlotLease, script: string): Promise<string> {
    const { provider } = this.#options
    const at = { provider: provider.name, place: lease.place, sandbox: lease.sandbox, incarnation: 1, spec: lease.spec }
    return await this.#attachments.use({ provider, lease: at }, async (runner) => {
      const id = { scope: lease.scope, phase: lease.phase, batch: 0, call: (this.#calls += 1), part: 0 }
      const user = lease.user === undefined ? {} : { user: lease.user.name }
      const result = await runner.exec({ id, script, cwd: lease.workspace, timeoutMs: 60_000, ...user })
      if (result.outcome.type !== 'exited') throw new Error(`${script} ended ${JSON.stringify(result.outcome)}`)
      return result.stdout.head.toString().trim()
    })
  }

  async #inject(pool: PoolClient): Promise<void> {
    const plan = Array.from({ length: this.#options.faults }, (_, index) => kinds[index % kinds.length] ?? kinds[0])
    for (const kind of plan.toSorted(() => this.#random.next() - 0.5)) {
      await delay(this.#random.whole(500, 2_500))
      const what = await this.#bringAbout(kind, pool)
      if (what === undefined) continue
      this.#injected.push(kind)
      this.#options.log(`${kind}: ${what}`)
    }
  }

  async #bringAbout(kind: Fault, pool: PoolClient): Promise<string | undefined> {
    switch (kind) {
      case 'worker-killed':
        return this.#killWorkers(1)
      case 'workers-killed':
        return this.#killWorkers(2)
      case 'server-killed':
        return await this.#signalServer('SIGKILL')
      case 'server-paused':
        return await this.#pauseServer()
      case 'sandbox-killed':
        return await this.#killSandbox()
      case 'holder-killed':
        return await this.#abandon(pool)
    }
  }

  #killWorkers(count: number): string {
    const pids = this.#workers.pids.slice(0, count)
    for (const pid of pids) signalProcess(pid, 'SIGKILL')
    return pids.join(', ')
  }

  async #signalServer(signal: NodeJS.Signals): Promise<string | undefined> {
    const status = await serverStatus(this.#options.home.environment)
    if (status.state !== 'running' || !signalProcess(status.pid, signal)) return undefined
    return String(status.pid)
  }

  async #pauseServer(): Promise<string | undefined> {
    const pid = await this.#signalServer('SIGSTOP')
    if (pid === undefined) return undefined
    await delay(this.#random.whole(1_000, 4_000))
    signalProcess(Number(pid), 'SIGCONT')
    return pid
  }

  async #killSandbox(): Promise<string | undefined> {
    const running = (await this.#sandboxes()).filter(({ state }) => state === 'running')
    const victim = running.at(Math.floor(this.#random.next() * running.length))
    if (victim === undefined) return undefined
    this.#killed.add(victim.name)
    await this.#options.provider.destroy(victim.name)
    return victim.name
  }

  /** A client that got a slot and is never heard of again: its lease expires. */
  async #abandon(pool: PoolClient): Promise<string> {
    const holder = `gone-${this.#injected.length}`
    void pool.acquire(holder, { leaseMs: 1_000, timeoutMs: 120_000 }).catch(() => undefined)
    return holder
  }

  /** How many sandboxes there are, again and again. */
  async #watch(): Promise<void> {
    const { profile } = this.#options
    while (!this.#isOver) {
      const running = (await this.#sandboxes()).filter(({ state }) => state === 'running')
      this.#mostRunning = Math.max(this.#mostRunning, running.length)
      if (running.length > profile.maxSandboxes) this.#broken.push(`${running.length} sandboxes at once`)
      await delay(200)
    }
  }
}
