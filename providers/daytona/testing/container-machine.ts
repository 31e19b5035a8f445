import { once } from 'node:events'
import type { Duplex } from 'node:stream'
import { PassThrough } from 'node:stream'
import type Docker from 'dockerode'
import { pack } from 'tar-stream'
import { Refusal } from './refusal.ts'

export interface MachineOrder {
  readonly image: string
  readonly env: Readonly<Record<string, string>>
  readonly user: string
  readonly hasNetwork: boolean
  readonly label: string
}

/** The machine behind one sandbox of the test server: a container, in which Daytona's daemon would run processes. */
export class ContainerMachine {
  readonly #container: Docker.Container
  readonly #user: string

  private constructor(container: Docker.Container, user: string) {
    this.#container = container
    this.#user = user
  }

  static async start(docker: Docker, order: MachineOrder): Promise<ContainerMachine> {
    const container = await docker.createContainer({
      Image: order.image,
      Entrypoint: ['tail', '-f', '/dev/null'],
      Cmd: [],
      User: order.user,
      Env: Object.entries(order.env).map(([name, value]) => `${name}=${value}`),
      Labels: { 'rollcall-test.daytona': order.label },
      HostConfig: { Init: true, NetworkMode: order.hasNetwork ? 'bridge' : 'none', PidsLimit: 4096 },
    })
    try {
      await container.start()
    } catch (error) {
      await container.remove({ force: true }).catch(() => {})
      throw error
    }
    return new ContainerMachine(container, order.user)
  }

  /** Resolves when nothing runs in it any more. */
  async ended(): Promise<void> {
    await this.#container.wait().catch(() => {})
  }

  async remove(): Promise<void> {
    await this.#container.remove({ force: true, v: true }).catch((error: { statusCode?: number }) => {
      if (error.statusCode !== 404 && error.statusCode !== 409) throw error
    })
  }

  /** As the daemon does it: the command is what a shell reads on its standard input; both outputs in one. */
  async execute(request: { command: string; cwd?: string; envs?: Record<string, string>; timeout?: number }) {
    const exec = await this.#container.exec({
      Cmd: ['sh'],
      User: this.#user,
      AttachStdin: true,
      AttachStdout: true,
      AttachStderr: true,
      Env: Object.entries(request.envs ?? {}).map(([name, value]) => `${name}=${value}`),
      ...(request.cwd !== undefined && { WorkingDir: request.cwd }),
    })
    const stream = await exec.start({ hijack: true, stdin: true })
    const output = new PassThrough()
    this.#container.modem.demuxStream(stream, output, output)
    const chunks: Buffer[] = []
    output.on('data', (chunk: Buffer) => chunks.push(chunk))
    stream.end(request.command)
    const ended = once(stream, 'end')
    const timeoutMs = (request.timeout ?? 0) * 1_000
    if (timeoutMs > 0 && !(await endsWithin(ended, timeoutMs))) {
      stream.destroy()
      throw new Refusal(408, 'command execution timeout')
    }
    await ended
    const { ExitCode } = await exec.inspect()
    return { exitCode: ExitCode ?? -1, result: Buffer.concat(chunks).toString() }
  }

  async upload(files: readonly { path: string; content: Buffer }[]): Promise<void> {
    const archive = pack()
    for (const { path, content } of files) archive.entry({ name: path.replace(/^\//, ''), mode: 0o644 }, content)
    archive.finalize()
    await this.#container.putArchive(await wholeOf(archive), { path: '/' })
  }

  async download(path: string): Promise<Buffer> {
    const { result, exitCode } = await this.execute({ command: `base64 '${path}'` })
    if (exitCode !== 0) throw new Refusal(404, `file not found: ${path}`)
    return Buffer.from(result, 'base64')
  }

  /** A real terminal: echo, prompt and line discipline included. */
  async openTerminal(options: { cwd?: string; envs: Record<string, string> }): Promise<Terminal> {
    const exec = await this.#container.exec({
      Cmd: ['sh', '-c', 'if command -v bash >/dev/null; then exec bash -i; else exec sh -i; fi'],
      User: this.#user,
      Tty: true,
      DetachKeys: detachKeys,
      AttachStdin: true,
      AttachStdout: true,
      AttachStderr: true,
      Env: ['TERM=xterm-256color', ...Object.entries(options.envs).map(([name, value]) => `${name}=${value}`)],
      ...(options.cwd !== undefined && { WorkingDir: options.cwd }),
    })
    const stream = await exec.start({ hijack: true, stdin: true, Tty: true })
    return {
      stream,
      exitCode: async () => (await exec.inspect()).ExitCode ?? 0,
      kill: async () => {
        const { Pid, Running } = await exec.inspect()
        if (Running && Pid > 0) process.kill(Pid, 'SIGKILL')
        stream.destroy()
      },
    }
  }
}

/** The Engine's own keys to leave a terminal are two bytes that any file may have; nobody has these. */
const detachKeys = 'ctrl-],ctrl-_,ctrl-^,ctrl-],ctrl-_,ctrl-^,ctrl-a,ctrl-]'

/** Streams of tar-stream give nothing but buffers. */
export async function wholeOf(stream: AsyncIterable<unknown>): Promise<Buffer> {
  const chunks: Buffer[] = []
  for await (const chunk of stream) if (Buffer.isBuffer(chunk)) chunks.push(chunk)
  return Buffer.concat(chunks)
}

export interface Terminal {
  readonly stream: Duplex
  readonly exitCode: () => Promise<number>
  readonly kill: () => Promise<void>
}

async function endsWithin(ended: Promise<unknown>, timeoutMs: number): Promise<boolean> {
  const timeout = Promise.withResolvers<false>()
  const timer = setTimeout(() => timeout.resolve(false), timeoutMs)
  try {
    return (await Promise.race([ended, timeout.promise])) !== false
  } finally {
    clearTimeout(timer)
  }
}
