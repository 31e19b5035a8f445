import type { Writable } from 'node:stream'
import { finished } from 'node:stream/promises'

/**
 * Gives a sink every byte of a stream once, though a cut connection sends the stream again from its beginning: what a
 * command has written does not change, so that many bytes are skipped.
 */
export class SinkFeed {
  readonly #sink: Writable
  readonly #closed: Promise<unknown>
  #position = 0
  #given = 0

  /** @param onError told once when the sink fails; later bytes are dropped */
  constructor(sink: Writable, onError: (error: unknown) => void) {
    this.#sink = sink
    this.#closed = finished(sink).catch(onError)
  }

  /** The stream begins anew. */
  rewind(): void {
    this.#position = 0
  }

  /** Returns when the sink wants more. */
  async write(chunk: Buffer): Promise<void> {
    const skip = Math.min(Math.max(this.#given - this.#position, 0), chunk.length)
    this.#position += chunk.length
    this.#given += chunk.length - skip
    if (skip === chunk.length || this.#sink.destroyed) return
    if (!this.#sink.write(Buffer.from(chunk.subarray(skip)))) await this.#drained()
  }

  async #drained(): Promise<void> {
    const { promise, resolve } = Promise.withResolvers<void>()
    this.#sink.once('drain', resolve)
    await Promise.race([promise, this.#closed])
    this.#sink.off('drain', resolve)
  }

  /** Returns when the sink has taken everything. */
  async end(): Promise<void> {
    this.#sink.end()
    await this.#closed
  }

  abandon(): void {
    this.#sink.destroy()
  }
}
