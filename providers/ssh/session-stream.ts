import { Duplex } from 'node:stream'
import type { ClientChannel } from 'ssh2'

/**
 * A session as an ordinary stream: its command's input and output. A channel of ssh2 never closes while there is unread
 * output, and counts as over only when both sides have said so; this one is over when it is destroyed.
 */
export class SessionStream extends Duplex {
  readonly #channel: ClientChannel
  /** Ends the write that is under way; ssh2 forgets it when the channel closes first. */
  #written: () => void = () => {}
  /** The command's exit code; undefined when it ended otherwise, or when the connection was cut. */
  exitCode: number | undefined
  /** When the session is over, on both sides. */
  readonly over: Promise<void>

  /** Right where the channel is handed out: of a command that ends at once, all is told in the same moment. */
  constructor(channel: ClientChannel) {
    super({ allowHalfOpen: true })
    this.#channel = channel
    channel.stderr.resume()
    channel.on('data', (chunk: Buffer) => {
      if (!this.push(chunk)) channel.pause()
    })
    channel.on('exit', (code: number | null) => (this.exitCode = code ?? undefined))
    channel.on('error', (error: Error) => this.destroy(error))
    this.over = new Promise((resolve) => channel.once('close', () => resolve()))
    channel.once('close', () => {
      this.#written()
      this.push(null)
    })
  }

  override _read(): void {
    this.#channel.resume()
  }

  /** What is sent to a command that has ended goes nowhere, as in a pipe whose reader ignores the signal. */
  override _write(chunk: Buffer, _encoding: BufferEncoding, done: () => void): void {
    const written = (): void => {
      if (this.#written !== written) return
      this.#written = () => {}
      done()
    }
    this.#written = written
    if (this.#channel.writable) this.#channel.write(chunk, written)
    else written()
  }

  override _final(done: () => void): void {
    this.#channel.end()
    done()
  }

  override _destroy(error: Error | null, done: (error: Error | null) => void): void {
    this.#channel.removeAllListeners('data')
    this.#channel.resume()
    this.#channel.close()
    done(error)
  }
}
