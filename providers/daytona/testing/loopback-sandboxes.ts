import { randomUUID } from 'node:crypto'
import type Docker from 'dockerode'
import type { CreateSandbox, Sandbox, SandboxListItem } from '@daytona/api-client'
import { ContainerMachine, type Terminal } from './container-machine.ts'
import type { LoopbackImages } from './loopback-images.ts'
import { Refusal } from './refusal.ts'

export interface SandboxesOptions {
  readonly docker: Docker
  readonly images: LoopbackImages
  readonly organization: string
  readonly toolboxUrl: () => string
  /** Snapshot names and the Engine's images behind them. */
  readonly snapshots: Readonly<Record<string, string>>
  readonly listLagMs: number
  /** Total of the organisation. Default 1,000. */
  readonly totalCpu: number
}

/** One sandbox of the test server. */
export class LoopbackSandbox {
  readonly dto: Sandbox
  readonly order: CreateSandbox
  readonly terminals = new Map<string, Terminal>()
  machine: ContainerMachine | undefined
  goneMs: number | undefined
  ttl: NodeJS.Timeout | undefined
  readonly madeMs = Date.now()

  constructor(dto: Sandbox, order: CreateSandbox) {
    this.dto = dto
    this.order = order
  }

  running(): ContainerMachine {
    if (this.machine !== undefined && this.dto.state === 'started') return this.machine
    throw new Refusal(400, `bad request: sandbox ${this.dto.id} is not running (${this.dto.state})`)
  }
}

/** The organisation's sandboxes, as Daytona's API tells of them. */
export class LoopbackSandboxes {
  readonly #options: SandboxesOptions
  readonly #all = new Map<string, LoopbackSandbox>()
  readonly #label = randomUUID()
  readonly #work = new Set<Promise<void>>()

  constructor(options: SandboxesOptions) {
    this.#options = options
  }

  create(order: CreateSandbox): LoopbackSandbox {
    const id = randomUUID()
    const name = order.name ?? id
    if (this.#byName(name) !== undefined) throw new Refusal(409, `Sandbox with name ${name} already exists`)
    this.#assertQuota(order)
    if (order.snapshot !== undefined && this.#options.snapshots[order.snapshot] === undefined) {
      throw new Refusal(400, `Snapshot ${order.snapshot} not found. Did you add it through the Daytona Dashboard?`)
    }
    const sandbox = new LoopbackSandbox(this.#dto({ id, name, order }), order)
    this.#all.set(id, sandbox)
    const start = this.#start(sandbox)
    this.#starting.set(sandbox, start)
    this.#track(start)
    return sandbox
  }

  get(idOrName: string): LoopbackSandbox {
    const sandbox = this.#all.get(idOrName) ?? this.#byName(idOrName)
    if (sandbox !== undefined && sandbox.goneMs === undefined) return sandbox
    throw new Refusal(404, `Sandbox with ID or name ${idOrName} not found`)
  }

  /** A page of the index, which learns of everything a while later. */
  list(query: URLSearchParams): { items: SandboxListItem[]; nextCursor: string | null } {
    const { listLagMs } = this.#options
    const labels = Object.entries<unknown>(JSON.parse(query.get('labels') ?? '{}'))
    const indexedMs = Date.now() - listLagMs
    const known = [...this.#all.values()].filter(
      ({ madeMs, goneMs = Infinity, dto }) =>
        madeMs <= indexedMs && goneMs > indexedMs && labels.every(([key, value]) => dto.labels[key] === value),
    )
    const from = Number(query.get('cursor') ?? 0)
    const to = from + Math.min(Number(query.get('limit') ?? 100), 5)
    return {
      items: known.slice(from, to).map(({ dto: { env: _env, volumes: _volumes, buildInfo: _build, ...item } }) => item),
      nextCursor: to < known.length ? String(to) : null,
    }
  }

  /** Removal begins: the name is free at once, the machine is gone a moment later. */
  destroy(sandbox: LoopbackSandbox): void {
    if (sandbox.dto.state === 'destroying') return
    clearTimeout(sandbox.ttl)
    sandbox.dto.name = `DESTROYED_${sandbox.dto.name}_${Date.now()}`
    sandbox.dto.state = 'destroying'
    this.#track(this.#remove(sandbox))
  }

  /** Ephemeral ones are deleted with it. */
  async stop(sandbox: LoopbackSandbox): Promise<void> {
    if (sandbox.dto.state !== 'started') return
    if (sandbox.dto.autoDeleteInterval === 0) return this.destroy(sandbox)
    sandbox.dto.state = 'stopped'
    await sandbox.machine?.remove()
  }

  all(): LoopbackSandbox[] {
    return [...this.#all.values()]
  }

  names(): string[] {
    return [...this.#all.values()].filter(({ goneMs }) => goneMs === undefined).map(({ dto }) => dto.name)
  }

  async dispose(): Promise<void> {
    for (const sandbox of this.#all.values()) if (sandbox.goneMs === undefined) this.destroy(sandbox)
    while (this.#work.size > 0) await Promise.allSettled(this.#work)
  }

  #byName(name: string): LoopbackSandbox | undefined {
    return [...this.#all.values()].find(({ dto, goneMs }) => dto.name === name && goneMs === undefined)
  }

  #assertQuota({ cpu = 1 }: CreateSandbox): void {
    const { totalCpu } = this.#options
    if (cpu > 4) throw new Refusal(400, `CPU request ${cpu} exceeds maximum allowed per sandbox (4).`)
    const used = [...this.#all.values()]
      .filter(({ goneMs }) => goneMs === undefined)
      .reduce((sum, { dto }) => sum + dto.cpu, 0)
    if (used + cpu > totalCpu) throw new Refusal(400, `Total CPU limit exceeded. Maximum allowed: ${totalCpu}.`)
  }

  #dto({ id, name, order }: { id: string; name: string; order: CreateSandbox }): Sandbox {
    return {
      id,
      name,
      organizationId: this.#options.organization,
      user: order.user ?? 'daytona',
      env: order.env ?? {},
      labels: order.labels ?? {},
      public: order.public ?? false,
      networkBlockAll: order.networkBlockAll ?? false,
      target: order.target ?? 'eu',
      cpu: order.cpu ?? 1,
      gpu: order.gpu ?? 0,
      memory: order.memory ?? 1,
      disk: order.disk ?? 3,
      state: order.buildInfo === undefined ? 'creating' : 'pending_build',
      createdAt: new Date().toISOString(),
      toolboxProxyUrl: this.#options.toolboxUrl(),
      ...(order.snapshot !== undefined && { snapshot: order.snapshot }),
      ...(order.networkAllowList !== undefined && { networkAllowList: order.networkAllowList }),
      ...(order.domainAllowList !== undefined && { domainAllowList: order.domainAllowList }),
      ...(order.autoStopInterval !== undefined && { autoStopInterval: order.autoStopInterval }),
      ...(order.autoDeleteInterval !== undefined && { autoDeleteInterval: order.autoDeleteInterval }),
    }
  }

  async #start(sandbox: LoopbackSandbox): Promise<void> {
    const { dto, order } = sandbox
    const { docker, images, snapshots } = this.#options
    try {
      const snapshot = order.snapshot === undefined ? undefined : snapshots[order.snapshot]
      const image = snapshot ?? (await images.resolve(order.buildInfo ?? { dockerfileContent: 'FROM none' }))
      const hasNetwork =
        !dto.networkBlockAll && order.networkAllowList === undefined && order.domainAllowList === undefined
      const user = dto.user === 'root' ? '0' : dto.user
      if (dto.state !== 'destroying') dto.state = 'starting'
      sandbox.machine = await ContainerMachine.start(docker, {
        image,
        env: dto.env,
        user,
        hasNetwork,
        label: this.#label,
      })
      if (dto.state === 'starting') dto.state = 'started'
      // Daytona's runner sees after a while that the container has ended by itself.
      void sandbox.machine.ended().then(() => setTimeout(() => void this.stop(sandbox), 200).unref())
      const { ttlMinutes = 0 } = order
      if (ttlMinutes > 0) sandbox.ttl = setTimeout(() => this.destroy(sandbox), ttlMinutes * 60_000).unref()
    } catch (error) {
      if (dto.state === 'destroying') return
      dto.state = dto.state === 'pending_build' ? 'build_failed' : 'error'
      dto.errorReason = error instanceof Error ? error.message : String(error)
    }
  }

  async #remove(sandbox: LoopbackSandbox): Promise<void> {
    // What is still being made is removed when it is there.
    for (const work of this.#starts(sandbox)) await work
    for (const terminal of sandbox.terminals.values()) await terminal.kill().catch(() => {})
    await sandbox.machine?.remove()
    sandbox.dto.state = 'destroyed'
    sandbox.goneMs = Date.now()
  }

  readonly #starting = new Map<LoopbackSandbox, Promise<void>>()

  #starts(sandbox: LoopbackSandbox): Promise<void>[] {
    const start = this.#starting.get(sandbox)
    return start === undefined ? [] : [start]
  }

  #track(work: Promise<void>): void {
    const tracked = work.finally(() => this.#work.delete(tracked))
    this.#work.add(tracked)
  }
}
