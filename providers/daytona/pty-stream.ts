import { randomBytes, randomUUID } from 'node:crypto'
import { Duplex } from 'node:stream'
import { setTimeout as wait } from 'node:timers/promises'
import type { DaytonaSandbox, PtyHandle } from './daytona-sdk.ts'
import { attachLine } from './inside-sandbox.ts'

/** Longest message: Daytona's daemon takes each apart in memory. */
const messageBytes = 32 * 1024
/** So much may be on its way to the sandbox until more is taken. */
const sendLimitBytes = 1024 * 1024
const greetingTimeoutMs = 15_000
/** What a login shell may say before its first command. */
const longestPreambleBytes = 1024 * 1024

/** What the SDK's handle keeps to itself: a socket of the package `ws`. Without it nothing holds back a flood. */
interface FlowControl {
  readonly bufferedAmount: number
  pause(): void
  resume(): void
}

/**
 * One attachment as a stream: a pseudo-terminal of Daytona's, over one WebSocket, set to pass every byte as it is. It
 * stands when the far side has said so. Ending it removes the terminal there.
 * @throws Error of the SDK, or a plain one when nobody answered; ask for the sandbox's state then
 */
export async function attachByPty(sandbox: DaytonaSandbox): Promise<Duplex> {
  const stream = new PtyStream()
  const handle = await sandbox.process.createPty({
    id: `rollcall-${randomUUID()}`,
    cwd: '/',
    // No file of an agent's may be run by the terminal's own shell.
    envs: { HOME: '/.rollcall', ENV: '', HISTFILE: '' },
    onData: (bytes) => stream.receive(Buffer.from(bytes)),
  })
  stream.begin(handle)
  const timer = setTimeout(() => stream.destroy(new Error('no answer from inside')), greetingTimeoutMs)
  try {
    await stream.greeted
    return stream
  } catch (error) {
    stream.destroy()
    throw error
  } finally {
    clearTimeout(timer)
  }
}

class PtyStream extends Duplex {
  /** Rejects when the stream ends before. */
  readonly greeted: Promise<void>
  readonly #token = randomBytes(12).toString('hex')
  readonly #greeting = Promise.withResolvers<void>()
  #preamble: Buffer | undefined = Buffer.alloc(0)
  #handle: PtyHandle | undefined
  #flow: FlowControl | undefined

  constructor() {
    super({ allowHalfOpen: true })
    this.greeted = this.#greeting.promise
    this.greeted.catch(() => {})
    this.once('close', () => this.#greeting.reject(new Error('the terminal ended at once')))
    this.on('error', (error) => this.#greeting.reject(error))
  }

  begin(handle: PtyHandle): void {
    this.#handle = handle
    this.#flow = flowOf(handle)
    handle.wait().then(
      () => this.#over(),
      () => this.#over(),
    )
    handle.sendInput(attachLine(this.#token)).catch((error: unknown) => this.destroy(toError(error)))
  }

  receive(bytes: Buffer): void {
    if (this.destroyed) return
    const payload = this.#preamble === undefined ? bytes : this.#afterGreeting(this.#preamble, bytes)
    if (payload.length > 0 && !this.push(payload)) this.#flow?.pause()
  }

  override _read(): void {
    this.#flow?.resume()
  }

  override _write(chunk: Buffer, _encoding: BufferEncoding, done: (error?: Error | null) => void): void {
    this.#send(chunk).then(
      () => done(),
      // The other side has gone: what it said until then still counts.
      () => done(),
    )
  }

  override _final(done: () => void): void {
    if (this.#handle !== undefined) void removeTerminal(this.#handle)
    done()
  }

  override _destroy(error: Error | null, done: (error: Error | null) => void): void {
    const handle = this.#handle
    this.#flow?.resume()
    // A terminal outlives its connections, and with it the shell that serves the attachment.
    if (handle?.isConnected() === true) void removeTerminal(handle)
    void handle?.disconnect()
    done(error)
  }

  #over(): void {
    if (this.#preamble !== undefined) this.destroy()
    else this.push(null)
  }

  /** Echo and prompts come before the greeting, whose first byte nobody types. */
  #afterGreeting(before: Buffer, bytes: Buffer): Buffer {
    const all = Buffer.concat([before, bytes])
    const greeting = Buffer.from(`\u0001ready ${this.#token}\n`)
    const at = all.indexOf(greeting)
    if (at < 0) {
      this.#preamble = all.subarray(-longestPreambleBytes)
      return Buffer.alloc(0)
    }
    this.#preamble = undefined
    this.#greeting.resolve()
    return all.subarray(at + greeting.length)
  }

  async #send(chunk: Buffer): Promise<void> {
    for (let at = 0; at < chunk.length; at += messageBytes) {
      await this.#handle?.sendInput(chunk.subarray(at, at + messageBytes))
      while (!this.destroyed && (this.#flow?.bufferedAmount ?? 0) > sendLimitBytes) await wait(5)
    }
  }
}

/** What cannot be removed ends with the sandbox. */
async function removeTerminal(handle: PtyHandle): Promise<void> {
  try {
    await handle.kill()
  } catch {
    // The sandbox, or the way to it, is gone.
  }
}

function flowOf(handle: PtyHandle): FlowControl | undefined {
  const socket: unknown = Reflect.get(handle, 'ws')
  return isFlowControl(socket) ? socket : undefined
}

function isFlowControl(socket: unknown): socket is FlowControl {
  return (
    typeof socket === 'object' &&
    socket !== null &&
    typeof Reflect.get(socket, 'pause') === 'function' &&
    typeof Reflect.get(socket, 'resume') === 'function' &&
    typeof Reflect.get(socket, 'bufferedAmount') === 'number'
  )
}

function toError(error: unknown): Error {
  return error instanceof Error ? error : new Error(String(error))
}
