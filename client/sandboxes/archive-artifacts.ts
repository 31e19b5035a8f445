import { createHash, type Hash } from 'node:crypto'
import { PassThrough, Readable, Writable, type Duplex } from 'node:stream'
import { pipeline } from 'node:stream/promises'
import { createGzip } from 'node:zlib'
import type { ExecResult } from '../../protocol/exec.ts'
import { confined } from '../../runner/confined-path.ts'
import { assertTar, isDone } from '../../runner/files.ts'
import {
  artifactFailure,
  checkedBound,
  failureOf,
  placeDefaults,
  scriptPath,
  type ArtifactFailure,
  type SandboxPath,
  type SlotPlace,
} from './slot-place.ts'
import { countedTar, zipEntries, type TarCount } from './tar-entries.ts'
import { readArtifact } from './read-artifact.ts'
import { zipArchive } from './zip.ts'

/** Of an archive that is handed back whole. */
const defaultMaxBytes = 64 * 1024 * 1024
const archiveTimeoutMs = 600_000
const blockBytes = 512
/** A program that writes more than it may is killed by SIGXFSZ. */
const tooLargeExitCode = 128 + 25
/** GNU tar: something changed while it was read; what is in the archive is whole. */
const changedExitCode = 1
const warningExitCode = 2

export type ArchiveFormat = 'tar' | 'tar.gz' | 'zip'

export interface ArchiveArtifactsOptions {
  /** Default `tar.gz`. */
  readonly format?: ArchiveFormat
  /**
   * Of what is packed, before it is compressed: contents, and 512 bytes or more for each entry. Beyond it there is no
   * archive, whatever `to` has taken. Default 64 MiB; with `to`: any.
   */
  readonly maxBytes?: number
  /** Files, directories and links. Default: any. */
  readonly maxEntries?: number
  /** Takes the archive as it comes: for any size. Ended when it is whole, destroyed when it cannot become so. */
  readonly to?: Writable
  /** Default 10 min. */
  readonly timeoutMs?: number
}

export interface ArtifactArchive {
  readonly ok: true
  readonly format: ArchiveFormat
  /** Absent with `to`. */
  readonly content?: Buffer
  readonly bytes: number
  readonly sha256: string
  /** How many files, directories and links are in it, the directory itself aside. */
  readonly entries: number
  /** False when something was left out or changed meanwhile; `notes` says what. */
  readonly complete: boolean
  /** What `tar` said, at most 4 KiB. */
  readonly notes: string
}

/** Names of files with another name outside the workspace are refused: their content is not the workspace's. */
const packing = `walk "$RC_PATH" ''
settle ''
[ -e "$f" ] || exit 44
if [ -d "$f" ]; then
  cd -P "$f" || exit 46
  inside
  f=.
elif [ -f "$f" ]; then
  ${confined.open}
else
  exit 47
fi
if [ -n "$top" ] && [ "$f" = . ]; then
  many=$(find "$top" -xdev -type f -links +1 -exec stat -c '%h %i' {} + 2>/dev/null | sort | uniq -c |
    while read -r found links inode; do [ "$found" -ge "$links" ] || echo "$inode"; done)
  for inode in $many; do
    [ -z "$(find . -xdev -inum "$inode" -exec printf x ';' 2>/dev/null)" ] || outside
  done
fi
`

/**
 * A directory, or one file, of the slot as an archive. Links stay links; names and contents are kept byte by byte.
 * @throws RollcallError `sandbox-lost`, `provider-unavailable`, `runtime-unsupported` without `tar`; what `to` throws
 */
export async function archiveArtifacts(
  place: SlotPlace,
  path: SandboxPath = '.',
  options: ArchiveArtifactsOptions = {},
): Promise<ArtifactArchive | ArtifactFailure> {
  const { format = 'tar.gz', to } = options
  const maxBytes = bytesBound(options)
  const count: TarCount = {
    entries: 0,
    maxEntries: checkedBound('maxEntries', options.maxEntries ?? Number.MAX_SAFE_INTEGER),
  }
  const where = scriptPath(place, path)
  if (where === undefined) return artifactFailure(path, 'outside')
  await assertTar(place.runner)
  const made = await pack({ place, path, format, where, maxBytes, count, to, timeoutMs: options.timeoutMs })
  if ('ok' in made) return made
  const { result, sink } = made
  const notes = result.stderr.head.toString('utf8').trim()
  const { bytes, sha256, content } = sink.taken()
  const shown = content === undefined ? {} : { content }
  return { ok: true, format, ...shown, bytes, sha256, entries: count.entries, complete: isDone(result), notes }
}

function bytesBound({ maxBytes, to }: ArchiveArtifactsOptions): number | undefined {
  const bound = maxBytes ?? (to === undefined ? defaultMaxBytes : undefined)
  return bound === undefined ? undefined : checkedBound('maxBytes', bound)
}

interface Packing {
  readonly place: SlotPlace
  readonly path: SandboxPath
  readonly format: ArchiveFormat
  readonly where: Record<string, string>
  readonly maxBytes: number | undefined
  readonly count: TarCount
  readonly to: Writable | undefined
  readonly timeoutMs: number | undefined
}

async function pack(at: Packing): Promise<ArtifactFailure | { result: ExecResult; sink: ArchiveSink }> {
  const { path, count, to } = at
  const stop = new AbortController()
  const signal = at.place.signal === undefined ? stop.signal : AbortSignal.any([stop.signal, at.place.signal])
  const tar = new PassThrough()
  const sink = new ArchiveSink(to)
  const running = runTar(at, tar, signal)
  const writing = pipeline(Readable.from(archived(at, tar)), sink).catch((error: unknown) => {
    // Nobody reads any further: whatever is still to come need not be sent.
    stop.abort(error)
    throw error
  })
  const [ran, wrote] = await Promise.allSettled([running, writing])
  if (wrote.status === 'rejected' || ran.status === 'rejected') to?.destroy()
  if (count.entries > count.maxEntries) return artifactFailure(path, 'too-many-entries')
  if (ran.status === 'rejected') throw wrote.status === 'rejected' && stop.signal.aborted ? wrote.reason : ran.reason
  const result = ran.value
  if (isTooLarge(result, at.maxBytes)) return artifactFailure(path, 'too-large')
  if (!isUsable(result)) return failureOf(path, result)
  if (wrote.status === 'rejected' && wrote.reason instanceof TooLargeError) return artifactFailure(path, 'too-large')
  if (wrote.status === 'rejected') throw wrote.reason
  return { result, sink }
}

function runTar(at: Packing, tar: Writable, signal: AbortSignal): Promise<ExecResult> {
  const { place, where, maxBytes, timeoutMs = archiveTimeoutMs } = at
  // Beyond the bound by a block, so that an archive of exactly so many bytes is whole.
  const limit = maxBytes === undefined ? '' : `ulimit -f ${Math.floor(maxBytes / blockBytes) + 1}\n`
  const request = {
    ...placeDefaults(place, 0),
    script: `${confined.beginning}${packing}${limit}exec tar -c -f - "$f"`,
    env: where,
    timeoutMs,
    stdoutSink: tar,
    captureBytes: 4_096,
    isTransfer: true,
  } as const
  return place.runner.exec(request, { signal })
}

function isTooLarge({ outcome, stdout }: ExecResult, maxBytes: number | undefined): boolean {
  if (maxBytes === undefined) return false
  return stdout.bytes > maxBytes || (outcome.type === 'exited' && outcome.code === tooLargeExitCode)
}

/** An archive from which something was left out is still one; a failure of ours has a code of its own. */
function isUsable({ outcome, stdout }: ExecResult): boolean {
  if (outcome.type !== 'exited') return false
  return [0, changedExitCode, warningExitCode].includes(outcome.code) && stdout.bytes > 0
}

/** The archive's bytes, out of those of a tar. */
async function* archived({ place, path, format, count, maxBytes }: Packing, tar: Readable): AsyncGenerator<Buffer> {
  if (format === 'zip') {
    const linked = new LinkedFiles({ place, path, count, maxBytes })
    yield* zipArchive(zipEntries(tar, count, (name) => linked.read(name)))
  } else if (format === 'tar') {
    yield* countedTar(tar, count)
  } else {
    yield* through(countedTar(tar, count), createGzip())
  }
}

async function* through(source: AsyncIterable<Buffer>, transform: Duplex): AsyncGenerator<Buffer> {
  const feeding = pipeline(Readable.from(source), transform)
  feeding.catch(() => undefined)
  for await (const chunk of transform) {
    if (!Buffer.isBuffer(chunk)) throw new TypeError('A compressed piece is no Buffer')
    yield chunk
  }
  await feeding
}

class TooLargeError extends Error {
  override readonly name = 'TooLargeError'
}

/** A zip has no second names for one file: each gets the content, which counts as all that is packed. */
class LinkedFiles {
  readonly #at: Pick<Packing, 'place' | 'path' | 'count' | 'maxBytes'>
  #part = 0
  #bytes = 0

  constructor(at: Pick<Packing, 'place' | 'path' | 'count' | 'maxBytes'>) {
    this.#at = at
  }

  /** @throws TooLargeError */
  async *read(name: Buffer): AsyncGenerator<Buffer> {
    const { place, path, count, maxBytes } = this.#at
    const whole = Buffer.concat([Buffer.from(typeof path === 'string' ? `${path}/` : path), Buffer.from('/'), name])
    const left = maxBytes === undefined ? {} : { maxBytes: Math.max(maxBytes - (count.bytes ?? 0) - this.#bytes, 0) }
    const to = new PassThrough()
    const reading = readArtifact({ ...place, execId: () => place.execId((this.#part += 1)) }, whole, { ...left, to })
    reading.catch(() => undefined)
    for await (const chunk of to) {
      if (!Buffer.isBuffer(chunk)) throw new TypeError('A piece of a file is no Buffer')
      this.#bytes += chunk.length
      yield chunk
    }
    const file = await reading
    if (!file.ok) throw new Error(`${name.toString()} could not be read a second time: ${file.message}`)
    if (file.truncated) throw new TooLargeError(`${name.toString()} is too large`)
  }
}

/** Sums up what goes to `to`, or keeps it. */
class ArchiveSink extends Writable {
  readonly #hash: Hash = createHash('sha256')
  readonly #to: Writable | undefined
  readonly #chunks: Buffer[] = []
  #bytes = 0

  constructor(to: Writable | undefined) {
    super()
    this.#to = to
    to?.on('error', (error) => this.destroy(error))
  }

  taken(): { bytes: number; sha256: string; content?: Buffer } {
    const content = this.#to === undefined ? { content: Buffer.concat(this.#chunks) } : {}
    return { bytes: this.#bytes, sha256: this.#hash.digest('hex'), ...content }
  }

  override _write(chunk: Buffer, _encoding: BufferEncoding, done: (error?: Error | null) => void): void {
    this.#bytes += chunk.length
    this.#hash.update(chunk)
    if (this.#to === undefined) {
      this.#chunks.push(chunk)
      done()
    } else {
      this.#to.write(chunk, done)
    }
  }

  override _final(done: (error?: Error | null) => void): void {
    if (this.#to === undefined) done()
    else this.#to.end(() => done())
  }
}
