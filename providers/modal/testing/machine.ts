import { randomUUID } from 'node:crypto'
import { PassThrough } from 'node:stream'
import type { Duplex } from 'node:stream'
import type Docker from 'dockerode'
import { OutputLog } from './output-log.ts'

/** GenericResult of Modal's protocol, as far as it is used. */
export interface GenericResult {
  readonly status: number
  readonly exitcode: number
  readonly exception: string
}

export const resultStatus = { success: 1, failure: 2, terminated: 3, timeout: 4, idleTimeout: 7 } as const

export interface MachineOrder {
  /** Of the Engine. */
  readonly image: string
  readonly command: readonly string[]
  readonly env: Readonly<Record<string, string>>
  readonly workdir?: string | undefined
  readonly hasNetwork: boolean
  readonly memoryMiB: number
  readonly milliCpus: number
  readonly timeoutSecs: number
  readonly idleTimeoutSecs?: number | undefined
  readonly label: string
  readonly binds: readonly string[]
}

interface Exec {
  readonly stdin: Duplex
  readonly stdout: OutputLog
  readonly stderr: OutputLog
  readonly exit: Promise<number>
  received: number
}

export interface ExecOrder {
  readonly command: readonly string[]
  readonly env: Readonly<Record<string, string>>
  readonly workdir?: string | undefined
  readonly timeoutSecs?: number | undefined
}

/** What is behind one sandbox of the test server: a container, with the commands that run in it. */
export class Machine {
  readonly #docker: Docker
  readonly #order: MachineOrder
  readonly #execs = new Map<string, Promise<Exec>>()
  readonly #ended = Promise.withResolvers<GenericResult>()
  readonly #timers: NodeJS.Timeout[] = []
  #running = 0
  #idleSince = Date.now()
  #started: Promise<Docker.Container> | undefined
  #result: GenericResult | undefined

  constructor(docker: Docker, order: MachineOrder) {
    this.#docker = docker
    this.#order = order
  }

  /** Undefined while it runs. */
  get result(): GenericResult | undefined {
    return this.#result
  }

  /** Resolves when it has ended. */
  get ended(): Promise<GenericResult> {
    return this.#ended.promise
  }

  start(): Promise<Docker.Container> {
    this.#started ??= this.#start()
    return this.#started
  }

  async end(status: number, exitcode = 137): Promise<void> {
    this.#finish({ status, exitcode, exception: '' })
    const container = await this.#started?.catch(() => undefined)
    await container?.remove({ force: true }).catch(() => {})
  }

  /** The same id again is the same command. */
  async exec(id: string, order: ExecOrder): Promise<void> {
    const known = this.#execs.get(id) ?? this.#exec(order)
    this.#execs.set(id, known)
    await known
  }

  async known(id: string): Promise<Exec | undefined> {
    return await this.#execs.get(id)
  }

  async #start(): Promise<Docker.Container> {
    const { image, command, env, workdir, memoryMiB, milliCpus, label, binds } = this.#order
    const container = await this.#docker.createContainer({
      name: `rollcall-modal-test-${randomUUID()}`,
      Image: image,
      Cmd: [...command],
      Env: lines(env),
      ...(workdir !== undefined && { WorkingDir: workdir }),
      Labels: { 'rollcall-modal-test': label },
      HostConfig: {
        Init: true,
        NetworkMode: this.#order.hasNetwork ? 'bridge' : 'none',
        PidsLimit: 4096,
        Binds: [...binds],
        ...(memoryMiB > 0 && { Memory: memoryMiB * 1024 ** 2, MemorySwap: memoryMiB * 1024 ** 2 }),
        ...(milliCpus > 0 && { NanoCpus: milliCpus * 1e6 }),
      },
    })
    const exit = container.wait({ condition: 'next-exit' })
    try {
      await container.start()
    } catch (error) {
      exit.catch(() => {})
      await container.remove({ force: true })
      this.#finish({ status: resultStatus.failure, exitcode: 127, exception: String(error) })
      return container
    }
    void exit.then(
      ({ StatusCode }: { StatusCode: number }) => {
        const status = StatusCode === 0 ? resultStatus.success : resultStatus.failure
        return this.end(status, StatusCode)
      },
      () => this.end(resultStatus.terminated),
    )
    this.#keepTime()
    return container
  }

  #keepTime(): void {
    const { timeoutSecs, idleTimeoutSecs } = this.#order
    this.#timers.push(setTimeout(() => void this.end(resultStatus.timeout), timeoutSecs * 1000).unref())
    if (idleTimeoutSecs === undefined) return
    const check = (): void => {
      const idleMs = this.#running > 0 ? 0 : Date.now() - this.#idleSince
      if (idleMs >= idleTimeoutSecs * 1000) void this.end(resultStatus.idleTimeout)
    }
    this.#timers.push(setInterval(check, 100).unref())
  }

  #finish(result: GenericResult): void {
    if (this.#result !== undefined) return
    this.#result = result
    for (const timer of this.#timers) clearTimeout(timer)
    this.#ended.resolve(result)
  }

  async #exec(order: ExecOrder): Promise<Exec> {
    const container = await this.start()
    const exec = await container.exec({
      Cmd: [...order.command],
      Env: lines(order.env),
      ...(order.workdir !== undefined && { WorkingDir: order.workdir }),
      AttachStdin: true,
      AttachStdout: true,
      AttachStderr: true,
      Tty: false,
    })
    const stream = await exec.start({ hijack: true, stdin: true })
    const [stdout, stderr] = [new PassThrough(), new PassThrough()]
    this.#docker.modem.demuxStream(stream, stdout, stderr)
    const logs = { stdout: new OutputLog(), stderr: new OutputLog() }
    const over = Promise.all([logs.stdout.take(stdout), logs.stderr.take(stderr)])
    this.#running += 1
    const finish = (): void => void (stdout.end(), stderr.end())
    stream.on('end', finish).on('close', finish).on('error', finish)
    const exit = over.then(async () => {
      this.#running -= 1
      this.#idleSince = Date.now()
      const { ExitCode } = await exec.inspect()
      return ExitCode ?? 137
    })
    exit.catch(() => {})
    if (order.timeoutSecs !== undefined) {
      const kill = async (): Promise<void> => {
        const { Pid, Running } = await exec.inspect()
        if (Running && Pid > 0) process.kill(Pid, 'SIGKILL')
      }
      this.#timers.push(setTimeout(() => void kill().catch(() => {}), order.timeoutSecs * 1000).unref())
    }
    return { stdin: stream, ...logs, exit, received: 0 }
  }
}

function lines(env: Readonly<Record<string, string>>): string[] {
  return Object.entries(env).map(([name, value]) => `${name}=${value}`)
}
