import { confined } from '../../runner/confined-path.ts'
import { isDone } from '../../runner/files.ts'
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

const defaultMaxEntries = 5_000
const listTimeoutMs = 120_000
/** What an entry may take on average in the listing: name, size, mode and time. */
const bytesPerEntry = 512
const leastBytes = 1024 * 1024
const blockBytes = 512

export interface ListArtifactsOptions {
  /** Everything below it, not only what it holds itself. Default false. */
  readonly recursive?: boolean
  /** Default 5,000. */
  readonly maxEntries?: number
  /** Default 2 min. */
  readonly timeoutMs?: number
}

export interface ArtifactEntry {
  /** Relative to the listed directory. Bytes that are no UTF-8 are shown as U+FFFD. */
  readonly path: string
  /** The name's own bytes, where `path` does not tell them. */
  readonly rawPath?: Buffer
  /** A link is listed as itself, not as what it leads to. */
  readonly type: 'file' | 'directory' | 'link' | 'other'
  readonly sizeBytes: number
  /** Permissions. */
  readonly mode: number
  /** Whole seconds: milliseconds since 1970. */
  readonly modifiedMs: number
}

export interface ArtifactListing {
  readonly ok: true
  /** By name. */
  readonly entries: readonly ArtifactEntry[]
  /** There are more. */
  readonly truncated: boolean
  /** False when something could not be looked at: a directory that the slot's user may not read. */
  readonly complete: boolean
}

/** Names and what `stat` says of them come on two streams, in one order; each line names its file again. */
const listing = `exec 3>&2 2>/dev/null
exec find . -mindepth 1 $RC_DEPTH -exec sh -c 'stat -c "%f %s %Y %n" "$@"; printf "%s\\0" "$@" >&3' sh {} +`

/**
 * What a directory of the slot holds, hidden files included.
 * @throws RollcallError `sandbox-lost`, `provider-unavailable`; RangeError for a bound that is none
 */
export async function listArtifacts(
  place: SlotPlace,
  path: SandboxPath = '.',
  options: ListArtifactsOptions = {},
): Promise<ArtifactListing | ArtifactFailure> {
  const { recursive = false, timeoutMs = listTimeoutMs } = options
  const maxEntries = checkedBound('maxEntries', options.maxEntries ?? defaultMaxEntries, 1)
  const where = scriptPath(place, path)
  if (where === undefined) return artifactFailure(path, 'outside')
  const mostBytes = leastBytes + maxEntries * bytesPerEntry
  const result = await place.runner.exec(
    {
      ...placeDefaults(place, 0),
      script: `${confined.toDirectory}ulimit -f ${Math.ceil(mostBytes / blockBytes)}\n${listing}`,
      env: { ...where, RC_DEPTH: recursive ? '' : '-maxdepth 1' },
      timeoutMs,
      captureBytes: mostBytes,
      isTransfer: true,
    },
    place.signal === undefined ? {} : { signal: place.signal },
  )
  const entries = parseListing(result.stdout.head, result.stderr.head)
  const isCut = result.stdout.bytes >= mostBytes || result.stderr.bytes >= mostBytes
  if (!isDone(result) && !isCut && (entries.length === 0 || result.outcome.type !== 'exited')) {
    // An unreadable directory is an empty listing that says so; what the script itself says has a code of its own.
    const failure = failureOf(path, result)
    if (failure.problem !== 'failed' || result.outcome.type !== 'exited') return failure
  }
  const sorted = entries.toSorted((a, b) => Buffer.compare(a.name, b.name))
  return {
    ok: true,
    entries: sorted.slice(0, maxEntries).map(({ entry }) => entry),
    truncated: isCut || entries.length > maxEntries,
    complete: isDone(result),
  }
}

interface NamedEntry {
  readonly name: Buffer
  readonly entry: ArtifactEntry
}

/** What has vanished between being found and being looked at has no line of its own, and is left out. */
export function parseListing(stats: Buffer, names: Buffer): NamedEntry[] {
  const entries: NamedEntry[] = []
  let at = 0
  for (let start = 0, end = names.indexOf(0); end >= 0; start = end + 1, end = names.indexOf(0, start)) {
    const name = names.subarray(start, end)
    const nameAt = afterNumbers(stats, at)
    const lineEnd = nameAt + name.length
    if (nameAt < 0 || !stats.subarray(nameAt, lineEnd).equals(name) || stats[lineEnd] !== 0x0a) continue
    entries.push(entryOf(name.subarray(2), stats.toString('latin1', at, nameAt - 1).split(' ')))
    at = lineEnd + 1
  }
  return entries
}

/** Where the name begins: after three numbers and their blanks. */
function afterNumbers(stats: Buffer, start: number): number {
  let at = start
  for (let number = 0; number < 3; number += 1) {
    at = stats.indexOf(0x20, at) + 1
    if (at === 0) return -1
  }
  return at
}

const typeMask = 0o170000
const types: Readonly<Record<number, ArtifactEntry['type']>> = {
  0o100000: 'file',
  0o040000: 'directory',
  0o120000: 'link',
}

function entryOf(name: Buffer, [mode = '', size, seconds]: readonly string[]): NamedEntry {
  const bits = Number.parseInt(mode, 16)
  const path = name.toString('utf8')
  const entry = {
    path,
    ...(Buffer.from(path).equals(name) ? {} : { rawPath: Buffer.from(name) }),
    type: types[bits & typeMask] ?? 'other',
    sizeBytes: Number(size),
    mode: bits & 0o7777,
    modifiedMs: Number(seconds) * 1_000,
  }
  return { name, entry }
}
