import { PassThrough, Writable } from 'node:stream'
import type { ExecId, ExecResult } from '../protocol/exec.ts'
import { execName } from '../protocol/exec.ts'
import type { ExecRequest, Runner } from '../runner/runner.ts'
import { outputKey } from '../store/keys.ts'
import type { RolloutPlace } from '../store/keys.ts'
import type { ExecRecord } from '../store/records.ts'
import type { Store } from '../store/store.ts'
import type { ExecReport } from '../tools/execute-batch.ts'

/** Output up to this size waits in memory and is stored in one go; more is streamed to the store as it comes. */
const bufferBytes = 256 * 1024

/**
 * What is kept of one stream; what comes after is dropped, and the record's byte count tells. A command needs no disk to
 * write terabytes: `truncate` makes its own output file that long.
 */
const mostKeptBytes = 1024 ** 3

/** Keeps the record and the full output of every exec of one activity. Written twice, the first output counts. */
export class ExecLog {
  readonly records: ExecRecord[] = []
  readonly #at: RolloutPlace
  readonly #store: Store
  readonly #storing: Promise<unknown>[] = []

  readonly #keptBytes: number

  /** @param keptBytes of each stream; default 1 GiB */
  constructor(at: RolloutPlace, store: Store, keptBytes = mostKeptBytes) {
    this.#at = at
    this.#store = store
    this.#keptBytes = keptBytes
  }

  readonly report = (exec: ExecReport): void => this.reportStoredAt(exec, (stream) => this.#key(exec.id, stream))

  /** For an exec whose output was spooled to keys of its own. */
  reportStoredAt(exec: ExecReport, keyOf: (stream: 'stdout' | 'stderr') => string): void {
    const { id, command, outcome, startedAt, durationMs, truncated } = exec
    const stream = (name: 'stdout' | 'stderr', bytes: number) => ({
      bytes,
      truncated,
      ...(bytes === 0 ? {} : { key: keyOf(name) }),
    })
    this.records.push({
      incarnation: this.#at.incarnation,
      id,
      command,
      outcome,
      startedAt,
      durationMs,
      stdout: stream('stdout', exec.stdoutBytes),
      stderr: stream('stderr', exec.stderrBytes),
    })
  }

  /** Runs a command of the activity's own, and keeps its record and its output. */
  async exec(runner: Runner, request: ExecRequest, signal: AbortSignal): Promise<ExecResult> {
    const { id, script: command } = request
    const startedAt = new Date().toISOString()
    const sinks = { stdoutSink: this.spool(id, 'stdout'), stderrSink: this.spool(id, 'stderr') }
    const result = await runner.exec({ ...request, ...sinks }, { signal })
    const { outcome, durationMs, stdout, stderr } = result
    const truncated = stdout.truncated || stderr.truncated
    const bytes = { stdoutBytes: stdout.bytes, stderrBytes: stderr.bytes }
    this.report({ id, command, outcome, startedAt, durationMs, ...bytes, truncated })
    return result
  }

  /** A sink for one stream of an exec: stores all of it up to the limit, and nothing at all of an empty one. */
  readonly spool = (id: ExecId, stream: 'stdout' | 'stderr'): Writable => this.spoolTo(this.#key(id, stream))

  spoolTo(key: string): Writable {
    const spool = new OutputSpool((source) => this.#store.putOnce(key, source), this.#keptBytes)
    this.#storing.push(spool.stored)
    return spool
  }

  /** Returns when all output is stored. */
  async flush(): Promise<void> {
    await Promise.all(this.#storing)
  }

  #key(id: ExecId, stream: 'stdout' | 'stderr'): string {
    return outputKey({ ...this.#at, exec: execName(id), stream })
  }
}

type Put = (source: Uint8Array | PassThrough) => Promise<unknown>

class OutputSpool extends Writable {
  /** Settles when everything written is stored. */
  readonly stored: Promise<void>
  readonly #put: Put
  readonly #keptBytes: number
  readonly #chunks: Buffer[] = []
  readonly #settle: { resolve: () => void; reject: (error: unknown) => void }
  #size = 0
  #hasEnded = false
  #streaming: { source: PassThrough; done: Promise<unknown> } | undefined

  constructor(put: Put, keptBytes: number) {
    super()
    this.#put = put
    this.#keptBytes = keptBytes
    const { promise, resolve, reject } = Promise.withResolvers<void>()
    this.stored = promise
    this.#settle = { resolve, reject }
    this.once('error', reject)
    // Whoever never waits for it must not crash the worker; flush reports the error.
    this.stored.catch(() => undefined)
  }

  override _write(written: Buffer, _encoding: BufferEncoding, callback: (error?: Error | null) => void): void {
    const chunk = written.subarray(0, this.#keptBytes - this.#size)
    if (chunk.length === 0) {
      callback()
      return
    }
    this.#size += chunk.length
    if (this.#streaming === undefined && this.#size <= bufferBytes) {
      this.#chunks.push(chunk)
      callback()
      return
    }
    const { source } = (this.#streaming ??= this.#startStreaming())
    if (source.write(chunk)) callback()
    else source.once('drain', callback)
  }

  /** The next call of a batch does not wait until this one's output is on disk: `flush` waits for all of them at once. */
  override _final(callback: (error?: Error | null) => void): void {
    this.#hasEnded = true
    this.#streaming?.source.end()
    const done =
      this.#streaming?.done ?? (this.#size === 0 ? Promise.resolve() : this.#put(Buffer.concat(this.#chunks)))
    done.then(() => this.#settle.resolve(), this.#settle.reject)
    callback()
  }

  override _destroy(error: Error | null, callback: (error?: Error | null) => void): void {
    if (!this.#hasEnded) {
      // A half-written stream must not be published: the store stores nothing of a source that breaks off.
      this.#streaming?.source.destroy(error ?? new Error('output was cut'))
      // Detached before its end: the attempt that attaches again stores the output.
      if (error === null) this.#settle.resolve()
    }
    callback(error)
  }

  #startStreaming(): { source: PassThrough; done: Promise<unknown> } {
    const source = new PassThrough()
    for (const chunk of this.#chunks.splice(0)) source.write(chunk)
    const done = this.#put(source)
    done.catch((error: unknown) => this.destroy(error instanceof Error ? error : new Error(String(error))))
    return { source, done }
  }
}
