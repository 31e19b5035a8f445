/** Takes the frames of an attachment apart as they come (runner/protocol.md); holds a few hundred bytes at most. */

/** What a frame's bytes are given to. A promise holds back the stream. */
export interface FrameReceiver {
  /** @returns where the two streams go */
  begin(header: readonly string[]): FrameBody
}

export interface FrameBody {
  write(stream: 'stdout' | 'stderr', chunk: Buffer): void | Promise<void>
  /** `valid` is false for a frame that does not count. */
  end(valid: boolean): void | Promise<void>
}

/** Thrown when the stream says what attach.sh never says: a hostile process writes on it, or frames were cut. */
export class FrameError extends Error {
  override readonly name = 'FrameError'
}

const longestHeaderBytes = 4096

/** Longest piece that may be the beginning of a mark: nonce, blank, letter, newline. */
const markBytes = (nonce: Buffer): number => nonce.length + 3

type State = { readonly at: 'between' } | { readonly at: 'stdout' | 'stderr'; readonly body: FrameBody }

export class FrameParser {
  readonly #nonce: Buffer
  readonly #receiver: FrameReceiver
  #pending: Buffer = Buffer.alloc(0)
  #state: State = { at: 'between' }

  constructor(nonce: string, receiver: FrameReceiver) {
    this.#nonce = Buffer.from(nonce)
    this.#receiver = receiver
  }

  /** @throws FrameError after which the parser must not be used again */
  async push(chunk: Buffer): Promise<void> {
    this.#pending = this.#pending.length === 0 ? chunk : Buffer.concat([this.#pending, chunk])
    while (await this.#step());
  }

  /** One mark or piece of output; false when more bytes are needed. */
  async #step(): Promise<boolean> {
    const found = this.#pending.indexOf(this.#nonce)
    if (this.#state.at === 'between') return this.#header(found)
    if (found > 0) await this.#give(this.#state, found)
    if (found >= 0) return this.#mark(this.#state)
    const sure = this.#pending.length - (markBytes(this.#nonce) - 1)
    if (sure > 0) await this.#give(this.#state, sure)
    return false
  }

  async #give(state: Extract<State, { body: FrameBody }>, length: number): Promise<void> {
    const chunk = this.#pending.subarray(0, length)
    this.#pending = this.#pending.subarray(length)
    await state.body.write(state.at, chunk)
  }

  /** `pending` begins with the nonce. */
  async #mark(state: Extract<State, { body: FrameBody }>): Promise<boolean> {
    if (this.#pending.length < markBytes(this.#nonce)) return false
    const mark = this.#pending.toString('latin1', this.#nonce.length, markBytes(this.#nonce))
    this.#pending = this.#pending.subarray(markBytes(this.#nonce))
    if (state.at === 'stdout' && mark === ' E\n') {
      this.#state = { at: 'stderr', body: state.body }
    } else if (state.at === 'stderr' && (mark === ' .\n' || mark === ' !\n')) {
      this.#state = { at: 'between' }
      await state.body.end(mark === ' .\n')
    } else {
      throw new FrameError(`Unexpected mark ${JSON.stringify(mark)} in a frame`)
    }
    return true
  }

  /** Between frames: whatever comes before a nonce is not ours and is dropped. */
  #header(found: number): boolean {
    if (found < 0) {
      const keep = Math.min(this.#pending.length, this.#nonce.length - 1)
      this.#pending = Buffer.from(this.#pending.subarray(this.#pending.length - keep))
      return false
    }
    const start = found + this.#nonce.length
    const newline = this.#pending.indexOf(0x0a, start)
    if (newline < 0) {
      if (this.#pending.length - start > longestHeaderBytes) throw new FrameError('A frame header has no end')
      return false
    }
    const header = this.#pending.toString('utf8', start, newline).trim().split(' ')
    this.#pending = this.#pending.subarray(newline + 1)
    this.#state = { at: 'stdout', body: this.#receiver.begin(header) }
    return true
  }
}
