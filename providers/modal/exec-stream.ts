import { Duplex } from 'node:stream'
import type { ContainerProcess } from 'modal'

/** No message may be larger than a server takes, of which nothing is known but gRPC's own default of 4 MiB. */
const writeBytes = 1024 * 1024

/**
 * A command in a sandbox as an ordinary stream: its input and output. It is over when it is destroyed. The SDK cannot end
 * a command: it is told the end of its input, which ends an attachment of the runner.
 */
export class ExecStream extends Duplex {
  readonly #output: ReadableStreamDefaultReader<Uint8Array>
  readonly #input: WritableStreamDefaultWriter<Uint8Array>
  readonly #letGo: () => void
  #isInputOver = false

  /** @param letGo called once, when everything that could be said has been said */
  constructor(process: ContainerProcess<Uint8Array>, letGo: () => void) {
    super({ allowHalfOpen: true })
    this.#output = process.stdout.getReader()
    this.#input = process.stdin.getWriter()
    this.#input.closed.catch(() => {})
    this.#letGo = letGo
  }

  override _read(): void {
    this.#output.read().then(
      ({ done, value }) => this.push(done ? null : Buffer.from(value.buffer, value.byteOffset, value.byteLength)),
      (error: unknown) => this.destroy(error instanceof Error ? error : new Error(String(error))),
    )
  }

  override _write(chunk: Buffer, _encoding: BufferEncoding, done: (error?: Error | null) => void): void {
    this.#writeAll(chunk).then(
      () => done(),
      (error: unknown) => done(error instanceof Error ? error : new Error(String(error))),
    )
  }

  override _writev(chunks: { chunk: Buffer }[], done: (error?: Error | null) => void): void {
    // One call for what has come meanwhile: each costs a round trip.
    this._write(Buffer.concat(chunks.map(({ chunk }) => chunk)), 'utf8', done)
  }

  override _final(done: () => void): void {
    void this.#endInput().finally(done)
  }

  override _destroy(error: Error | null, done: (error: Error | null) => void): void {
    void this.#end()
    done(error)
  }

  async #end(): Promise<void> {
    await Promise.all([this.#endInput(), this.#output.cancel().catch(() => {})])
    this.#letGo()
  }

  async #writeAll(bytes: Buffer): Promise<void> {
    for (let at = 0; at < bytes.length; at += writeBytes) {
      await this.#input.write(Uint8Array.from(bytes.subarray(at, at + writeBytes)))
    }
  }

  async #endInput(): Promise<void> {
    if (this.#isInputOver) return
    this.#isInputOver = true
    await this.#input.close().catch(() => {})
  }
}
