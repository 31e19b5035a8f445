import type { CapturedOutput } from '../protocol/exec.ts'

/** Keeps the first and the last `captureBytes` of a stream, however long it is. */
export class OutputCapture {
  readonly #captureBytes: number
  #head: Buffer[] = []
  #headBytes = 0
  /** Newest chunks beyond the head; trimmed as they grow, so that at most `captureBytes` and one chunk are held. */
  #tail: Buffer[] = []
  #tailBytes = 0
  #bytes = 0

  constructor(captureBytes: number) {
    this.#captureBytes = captureBytes
  }

  write(chunk: Buffer): void {
    this.#bytes += chunk.length
    const room = this.#captureBytes - this.#headBytes
    if (room > 0) {
      const part = Buffer.from(chunk.subarray(0, room))
      this.#head.push(part)
      this.#headBytes += part.length
    }
    if (chunk.length > room) this.#keepTail(Buffer.from(chunk.subarray(Math.max(room, 0))))
  }

  #keepTail(chunk: Buffer): void {
    this.#tail.push(chunk)
    this.#tailBytes += chunk.length
    let oldest = this.#tail[0]
    while (oldest !== undefined && this.#tailBytes - oldest.length >= this.#captureBytes) {
      this.#tail.shift()
      this.#tailBytes -= oldest.length
      oldest = this.#tail[0]
    }
  }

  /** What has been written so far. */
  result(): CapturedOutput {
    const head = Buffer.concat(this.#head)
    const rest = Buffer.concat(this.#tail)
    const truncated = this.#bytes > head.length + Math.min(rest.length, this.#captureBytes)
    if (!truncated) return { head: Buffer.concat([head, rest]), tail: Buffer.alloc(0), bytes: this.#bytes, truncated }
    return { head, tail: rest.subarray(rest.length - this.#captureBytes), bytes: this.#bytes, truncated }
  }
}
