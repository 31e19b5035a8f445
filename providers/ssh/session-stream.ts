import { Duplex } from 'node:stream'
import type { ClientChannel } from 'ssh2'

/**
 * A session as an ordinary stream: its command's input and output. A channel of ssh2 never closes while there is unread
 * output, and counts as over only when both sides have said so; this one is over when it is destroyed.
 */
export class SessionStream extends Duplex {
  readonly #channel: ClientChannel
  /** The command's exit code; undefined when it ended otherwise, or when the connection was cut. */
  exitCode: number | undefined

  constructor(channel: ClientChannel) {
    super({ allowHalfOpen: true })
    this.#channel = channel
    channel.stderr.resume()
    channel.on('data', (chunk: Buffer) => {
      if (!this.push(chunk)) channel.pause()
    })
    channel.on('exit', (code: number | null) => (this.exitCode = code ?? undefined))
    channel.on('error', (error: Error) => this.destroy(error))
    channel.once('close', () => {
      this.push(null)
      this.end()
    })
  }

  override _read(): void {
    this.#channel.resume()
  }

  override _write(chunk: Buffer, _encoding: BufferEncoding, done: (error?: Error | null) => void): void {
    this.#channel.write(chunk, done)
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
