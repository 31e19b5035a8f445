import type { Readable } from 'node:stream'

/** So much may wait to be read before the command is held up, and so much is kept of what has been read. */
const windowBytes = 2 * 1024 * 1024
const keptBytes = 1024 * 1024

/** Output of a command that can be read from any offset that is still kept, again after a stream broke. */
export class OutputLog {
  #chunks: Buffer[] = []
  /** Offset of the first chunk's first byte. */
  #start = 0
  #end = 0
  #isEnded = false
  #sent = 0
  #changed = Promise.withResolvers<void>()

  /** @returns when there is room for more */
  async write(chunk: Buffer): Promise<void> {
    this.#chunks.push(chunk)
    this.#end += chunk.length
    this.#notify()
    while (this.#end - this.#sent > windowBytes && !this.#isEnded) await this.#changed.promise
  }

  end(): void {
    this.#isEnded = true
    this.#notify()
  }

  /** Takes everything of a stream, no faster than it is read. */
  async take(stream: Readable): Promise<void> {
    try {
      for await (const chunk of stream) await this.write(chunk)
    } catch {
      // The Engine cut it: what it was is over.
    }
    this.end()
  }

  async *read(offset: number, signal: AbortSignal): AsyncGenerator<Buffer> {
    let at = offset
    if (at < this.#start) throw new Error(`output before ${this.#start} is gone, ${at} was asked for`)
    const onAbort = (): void => this.#notify()
    signal.addEventListener('abort', onAbort)
    try {
      while (!signal.aborted) {
        const piece = this.#pieceAt(at)
        if (piece !== undefined) {
          at += piece.length
          yield piece
          this.#forget(at)
        } else if (this.#isEnded) return
        else await this.#changed.promise
      }
    } finally {
      signal.removeEventListener('abort', onAbort)
    }
  }

  #pieceAt(offset: number): Buffer | undefined {
    let start = this.#start
    for (const chunk of this.#chunks) {
      if (offset < start + chunk.length) return chunk.subarray(offset - start)
      start += chunk.length
    }
    return undefined
  }

  #forget(sent: number): void {
    this.#sent = Math.max(this.#sent, sent)
    for (let first = this.#chunks[0]; first !== undefined; first = this.#chunks[0]) {
      if (this.#start + first.length > this.#sent - keptBytes) break
      this.#start += first.length
      this.#chunks.shift()
    }
    this.#notify()
  }

  #notify(): void {
    this.#changed.resolve()
    this.#changed = Promise.withResolvers<void>()
  }
}
