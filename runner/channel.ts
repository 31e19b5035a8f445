import { randomBytes } from 'node:crypto'
import type { Duplex } from 'node:stream'
import { FrameParser, type FrameReceiver } from './frames.ts'
import { encodePing } from './requests.ts'

export interface ChannelOptions {
  readonly stream: Duplex
  readonly receiver: FrameReceiver
  /** Whether anybody waits for an answer: only then is silence suspicious. */
  readonly isAwaited: () => boolean
  /** Silence after which the other side is asked; after four times as much it is given up. */
  readonly pingMs: number
}

/** One attachment: frames parsed as they come, requests written whole, and a watch on whether the other side answers. */
export class Channel {
  /** When the stream is over, for whatever reason: whether any frame has come on it. Never rejects. */
  readonly ended: Promise<{ spoke: boolean }>
  readonly #stream: Duplex
  readonly #watch: NodeJS.Timeout
  #spoke = false
  #heardAt = performance.now()
  /** While output waits for a slow sink, silence is our own doing. */
  #busy = false

  constructor(options: ChannelOptions) {
    this.#stream = options.stream
    this.#stream.on('error', () => {})
    // N stands only at its beginning, so that no beginning of a nonce can be taken for a part of it.
    const nonce = `N${randomBytes(12).toString('hex')}`
    this.#stream.write(`${nonce}\n`)
    this.#watch = setInterval(() => this.#check(options), options.pingMs)
    this.ended = this.#receive(new FrameParser(nonce, this.#heard(options.receiver)))
  }

  send(bytes: Buffer): void {
    if (!this.#stream.destroyed) this.#stream.write(bytes)
  }

  close(): void {
    clearInterval(this.#watch)
    this.#stream.destroy()
  }

  async #receive(parser: FrameParser): Promise<{ spoke: boolean }> {
    try {
      for await (const chunk of this.#stream) {
        this.#busy = true
        await parser.push(chunk)
        this.#busy = false
      }
    } catch {
      // A cut connection and a stream of nonsense mean the same: attach again.
    }
    this.close()
    return { spoke: this.#spoke }
  }

  /** Only frames count as life: garbage on the stream does not. */
  #heard(receiver: FrameReceiver): FrameReceiver {
    const note = (): void => {
      this.#spoke = true
      this.#heardAt = performance.now()
    }
    return {
      begin: (header) => {
        note()
        const body = receiver.begin(header)
        return {
          write: (stream, chunk) => (note(), body.write(stream, chunk)),
          end: (valid) => (note(), body.end(valid)),
        }
      },
    }
  }

  #check({ isAwaited, pingMs }: ChannelOptions): void {
    const silentMs = performance.now() - this.#heardAt
    if (this.#busy || !isAwaited()) this.#heardAt = performance.now()
    else if (silentMs >= 4 * pingMs) this.close()
    else if (silentMs >= pingMs) this.send(encodePing(0))
  }
}
