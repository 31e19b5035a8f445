import { createHash } from 'node:crypto'
import { Transform, type Writable } from 'node:stream'
import { pipeline } from 'node:stream/promises'
import { readFile } from '../../runner/files.ts'
import {
  artifactFailure,
  checkedBound,
  failureOf,
  fromWorkspace,
  placeDefaults,
  type ArtifactFailure,
  type SandboxPath,
  type SlotPlace,
} from './slot-place.ts'

/** Of content that is handed back whole. */
const defaultMaxBytes = 16 * 1024 * 1024
const transferTimeoutMs = 600_000
/** What `head -c` of every image takes. */
const mostBytes = Number.MAX_SAFE_INTEGER - 1

export interface ReadArtifactOptions {
  /** How many bytes are handed back at most; the rest is left out, and `truncated` says so. Default 16 MiB; with `to`: all. */
  readonly maxBytes?: number
  /** `text`: UTF-8, with U+FFFD for what is none. Default `bytes`. */
  readonly encoding?: 'text' | 'bytes'
  /** Takes the bytes instead, as they come: for files of any size. Ended when all are there. */
  readonly to?: Writable
  /** Default 10 min. */
  readonly timeoutMs?: number
}

export interface Artifact<Content> {
  readonly ok: true
  readonly content: Content
  /** Bytes that were handed back. */
  readonly bytes: number
  /** The file has more. */
  readonly truncated: boolean
  /** Of exactly the bytes that were handed back, in hexadecimal digits. */
  readonly sha256: string
}

export type ReadArtifactResult<Content> = Artifact<Content> | ArtifactFailure

/**
 * A regular file of the slot, by its bytes.
 * @throws RollcallError `sandbox-lost`, `provider-unavailable`; RangeError for a bound that is none
 */
export async function readArtifact(
  place: SlotPlace,
  path: SandboxPath,
  options: ReadArtifactOptions = {},
): Promise<ReadArtifactResult<string | Buffer | undefined>> {
  const { to, encoding = 'bytes', timeoutMs = transferTimeoutMs } = options
  const maxBytes = checkedBound('maxBytes', options.maxBytes ?? (to === undefined ? defaultMaxBytes : mostBytes))
  if (to?.destroyed === true || to?.writableEnded === true)
    throw new Error('`to` is closed: nothing can be written to it')
  const gauge = new Gauge(maxBytes)
  const piped = to === undefined ? undefined : pipe(gauge, to)
  if (to === undefined) gauge.keep()
  const outcome = await readFile(
    place.runner,
    {
      ...placeDefaults(place, 0),
      path: fromWorkspace(place, path),
      root: place.root,
      maxBytes,
      captureBytes: 1_024,
      timeoutMs,
      stdoutSink: gauge,
    },
    place.signal === undefined ? {} : { signal: place.signal },
  )
  if (outcome.type === 'failed') return failureOf(path, outcome.result)
  if (outcome.type !== 'read') return artifactFailure(path, outcome.type)
  await piped
  const { bytes, sha256 } = gauge.sums()
  return { ok: true, content: gauge.content(encoding), bytes, truncated: outcome.truncated, sha256 }
}

/** A sink that fails must not be an unhandled rejection before somebody waits for it. */
function pipe(gauge: Gauge, to: Writable): Promise<void> {
  const piped = pipeline(gauge, to)
  piped.catch(() => undefined)
  return piped
}

/** Lets the first `maxBytes` bytes through and sums them up. */
class Gauge extends Transform {
  readonly #hash = createHash('sha256')
  readonly #maxBytes: number
  #chunks: Buffer[] | undefined
  #bytes = 0

  constructor(maxBytes: number) {
    super()
    this.#maxBytes = maxBytes
  }

  /** Keeps what comes, instead of waiting for a reader. */
  keep(): void {
    this.#chunks = []
    this.resume()
  }

  sums(): { bytes: number; sha256: string } {
    return { bytes: this.#bytes, sha256: this.#hash.digest('hex') }
  }

  content(encoding: 'text' | 'bytes'): string | Buffer | undefined {
    if (this.#chunks === undefined) return undefined
    const content = Buffer.concat(this.#chunks)
    if (encoding === 'bytes') return content
    // A character that the limit has cut is left out.
    return new TextDecoder('utf-8', { ignoreBOM: true }).decode(content, { stream: true })
  }

  override _transform(chunk: Buffer, _encoding: BufferEncoding, done: (error?: Error | null) => void): void {
    const kept = chunk.subarray(0, this.#maxBytes - this.#bytes)
    this.#bytes += kept.length
    this.#hash.update(kept)
    if (this.#chunks !== undefined) this.#chunks.push(Buffer.from(kept))
    else if (kept.length > 0) this.push(kept)
    done()
  }
}
