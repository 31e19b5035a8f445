import { Transform } from 'node:stream'
import { RollcallError } from '../protocol/failure.ts'

const stars = '***'

/** Shorter values would be found in text that has nothing to do with them. In characters. */
const shortestMasked = 6

/** So much of a value at a cut gives it away. In bytes. */
const tellingPart = 4

/**
 * Replaces the values of secrets by `***` in what is stored. Bytes are searched, not words: a value is found in any
 * text, also split across chunks, but not where a command has transformed it (encoded, reversed, cut), nor when it has
 * fewer than 6 characters.
 */
export class Mask {
  readonly #values: readonly string[]
  readonly #pattern: RegExp | undefined

  constructor(values: Iterable<string>) {
    const trimmed = [...values].flatMap((value) => [value, value.trim()])
    const long = [...new Set(trimmed)].filter((value) => value.length >= shortestMasked)
    // Latin-1 stands for bytes one to one, so that text in any encoding can be searched.
    this.#values = long.map((value) => Buffer.from(value).toString('latin1')).toSorted((a, b) => b.length - a.length)
    if (this.#values.length > 0) this.#pattern = new RegExp(this.#values.map(escaped).join('|'), 'g')
  }

  /** There is nothing to be masked. */
  get isIdle(): boolean {
    return this.#pattern === undefined
  }

  text(text: string): string {
    return this.#pattern === undefined ? text : this.bytes(Buffer.from(text)).toString()
  }

  bytes(bytes: Buffer): Buffer {
    if (this.#pattern === undefined) return bytes
    return Buffer.from(bytes.toString('latin1').replaceAll(this.#pattern, stars), 'latin1')
  }

  /** Every text in a value of JSON, keys too. */
  json<Value>(value: Value): Value {
    return this.#pattern === undefined ? value : (this.#masked(value) as Value)
  }

  #masked(value: unknown): unknown {
    if (typeof value === 'string') return this.text(value)
    if (Array.isArray(value)) return value.map((item) => this.#masked(item))
    if (typeof value !== 'object' || value === null) return value
    return Object.fromEntries(Object.entries(value).map(([key, item]) => [this.text(key), this.#masked(item)]))
  }

  /** The error as it may be told: histories keep its causes, too, each with its stack. */
  error(error: unknown): unknown {
    if (this.isIdle || !(error instanceof Error) || !this.#tells(error)) return error
    const message = this.text(error.message)
    if (!(error instanceof RollcallError)) return new Error(message)
    const { code, retryAfterMs, isFinal } = error
    return new RollcallError(code, message, { isFinal, ...(retryAfterMs === undefined ? {} : { retryAfterMs }) })
  }

  #tells(error: unknown): boolean {
    if (!(error instanceof Error)) return false
    const told = [error.message, error.stack ?? '']
    return told.some((text) => this.text(text) !== text) || this.#tells(error.cause)
  }

  /**
   * Masks what flows through it, holding back only as much as could be the beginning of a value.
   * @param options.isPiece what flows is a piece of a longer output, and a value may be cut at either end
   */
  stream({ isPiece }: { isPiece?: true | undefined } = {}): Transform {
    let held = ''
    let isBeginning = isPiece === true
    const longest = this.#values[0]?.length ?? 1
    const begun = (masked: Buffer): Buffer => {
      const first = isBeginning ? this.withoutBeginning(masked) : masked
      isBeginning = false
      return first
    }
    return new Transform({
      transform: (chunk: Buffer, _encoding, done) => {
        const text = held + chunk.toString('latin1')
        // Twice as much: what is let go then is as long as the longest part of a value.
        if (isBeginning && text.length < 2 * longest) {
          held = text
          done()
          return
        }
        const { masked, rest } = this.#maskStream(text)
        held = rest
        done(null, begun(Buffer.from(masked, 'latin1')))
      },
      flush: (done) => {
        const last = begun(this.bytes(Buffer.from(held, 'latin1')))
        done(null, isPiece ? this.withoutEnd(last) : last)
      },
    })
  }

  /** What can be let go of a stream's text, and what has to wait: a value may begin in it. */
  #maskStream(text: string): { masked: string; rest: string } {
    const longest = this.#values[0]?.length ?? 1
    let safe = Math.max(0, text.length - longest + 1)
    // A value that begins before `safe` is whole; one that crosses it goes out with what lies before it.
    for (const { index, 0: value } of text.matchAll(this.#pattern ?? /(?!)/g)) {
      if (index < safe) safe = Math.max(safe, index + value.length)
    }
    const masked = text.slice(0, safe).replaceAll(this.#pattern ?? /(?!)/g, stars)
    return { masked, rest: text.slice(safe) }
  }

  /** Head and tail of an output whose middle was left out: a value that was cut there is masked, too. */
  cut(parts: { head: Buffer; tail: Buffer }): { head: Buffer; tail: Buffer } {
    return { head: this.withoutEnd(this.bytes(parts.head)), tail: this.withoutBeginning(this.bytes(parts.tail)) }
  }

  /** Masked bytes whose end may be the beginning of a value. */
  withoutEnd(masked: Buffer): Buffer {
    const text = masked.toString('latin1')
    const cut = this.#longest((value, length) => text.endsWith(value.slice(0, length)))
    return cut === 0 ? masked : Buffer.from(text.slice(0, text.length - cut) + stars, 'latin1')
  }

  /** Masked bytes whose beginning may be the end of a value. */
  withoutBeginning(masked: Buffer): Buffer {
    const text = masked.toString('latin1')
    const cut = this.#longest((value, length) => text.startsWith(value.slice(value.length - length)))
    return cut === 0 ? masked : Buffer.from(stars + text.slice(cut), 'latin1')
  }

  /** The longest telling part of any value that is there. */
  #longest(isThere: (value: string, length: number) => boolean): number {
    const found = this.#values.map((value) => {
      for (let length = value.length - 1; length >= tellingPart; length -= 1) if (isThere(value, length)) return length
      return 0
    })
    return Math.max(0, ...found)
  }
}

function escaped(value: string): string {
  return value.replaceAll(/[.*+?^${}()|[\]\\/-]/g, '\\$&')
}
