import { posix } from 'node:path'
import type { Readable } from 'node:stream'
import { setImmediate as otherWork } from 'node:timers/promises'
import pLimit from 'p-limit'
import { extract, pack } from 'tar-stream'
import type { PartInput } from '../protocol/activities.ts'
import type { ExecId } from '../protocol/exec.ts'
import { RollcallError } from '../protocol/failure.ts'
import type { ArtifactRecord } from '../protocol/grade.ts'
import { uploadTree } from '../runner/files.ts'
import type { Runner } from '../runner/runner.ts'
import { collectedKey } from '../store/keys.ts'
import type { Store } from '../store/store.ts'
import type { StoredCollection } from '../store/records.ts'
import { getJson } from '../store/stored-json.ts'
import { verifierFolderAt } from '../tasks/verifier-folders.ts'
import type { JobContext } from './job-context.ts'
import { untilAborted } from './until-aborted.ts'

/** The worker holds each in memory, several times over while it sends it. */
const maxArtifactBytes = 256 * 1024 ** 2

/** Of these a worker holds one at a time, or a few agents together could take all of its memory. */
const largeBytes = 16 * 1024 ** 2
const largeOnes = pLimit(1)

/** Files and folders of one artifact: a million empty folders fit into half of `maxArtifactBytes`. */
const mostNames = 50_000

/** Entries of a tar come without a pause: so many, and the worker's heartbeats and other rollouts have their turn. */
const entriesAtOnce = 200

/**
 * Puts the artifacts that were collected in a phase into a separate verifier's sandbox, at their original paths. Only
 * plain files and folders arrive: through a link or a device the agent could reach what is not its own. Safe to run
 * twice: by exec ids.
 * @throws RollcallError `grader-failed` for one that is too large
 */
export async function bringArtifacts(
  input: Pick<PartInput, 'job' | 'rollout' | 'incarnation' | 'phase'>,
  at: { runner: Runner; context: Pick<JobContext, 'store'>; first: ExecId; signal: AbortSignal },
): Promise<void> {
  const { context } = at
  const collection = await getJson<StoredCollection>(context.store, collectedKey(input))
  if (collection === undefined) throw new RollcallError('internal', `${input.rollout} has no collected artifacts`)
  for (const artifact of collection.artifacts) if (artifact.key !== undefined) assertForeign(artifact)
  await putArtifacts(collection.artifacts, { ...at, store: context.store })
}

interface PuttingAt {
  readonly runner: Runner
  readonly store: Store
  readonly first: ExecId
  readonly signal: AbortSignal
}

/**
 * Puts stored artifacts into a sandbox, at their original paths; `first` is the id of the first one's upload.
 * @throws RollcallError `grader-failed` for one that cannot be put there: too large, or where it would lie is something
 *   of another kind
 */
export async function putArtifacts(artifacts: readonly ArtifactRecord[], at: PuttingAt): Promise<void> {
  for (const [part, artifact] of artifacts.entries()) {
    if (artifact.key === undefined) continue
    assertSize(artifact)
    const putting = () => putArtifact(artifact, { ...at, first: { ...at.first, part } })
    if ((artifact.bytes ?? 0) <= largeBytes) await putting()
    else await untilAborted(at.signal, largeOnes(putting))
  }
}

async function putArtifact(artifact: ArtifactRecord, { runner, store, first: id, signal }: PuttingAt): Promise<void> {
  signal.throwIfAborted()
  const { key = '', type, source } = artifact
  const stored = await store.open(key)
  if (stored === undefined) throw new RollcallError('artifacts-missing', `The store has no ${key}`)
  const directory = type === 'file' ? posix.dirname(source) : source
  const tar = await plainFiles(stored, { what: `Artifact ${source}` })
  await uploadTree(runner, { id, tar, directory, refusal: 'grader-failed' }, { signal })
}

/** A task that says so in plain words was refused; a path that is relative is known only here. */
function assertForeign({ source }: ArtifactRecord): void {
  const folder = verifierFolderAt(source)
  if (folder === undefined) return
  throw new RollcallError(
    'grader-failed',
    `Artifact ${source} holds or lies in ${folder}, which is the separate verifier’s own`,
  )
}

function assertSize({ source, bytes = 0 }: ArtifactRecord): void {
  if (bytes <= maxArtifactBytes) return
  throw new RollcallError(
    'grader-failed',
    `Artifact ${source} is ${bytes} bytes: expected at most 256 MiB where it is graded in another sandbox; exclude what need not be seen`,
  )
}

/**
 * The plain files and folders of a tar out of a sandbox; of one that is cut, what comes before. Exported for its test.
 * @throws RollcallError `grader-failed` where they are more than `most`
 */
export async function plainFiles(
  tar: Readable,
  { what, most = mostNames }: { what: string; most?: number },
): Promise<Buffer> {
  const entries = extract()
  const plain = pack()
  const packed = bytesOf(plain)
  // What it throws reaches the loop below.
  tar.on('error', (error) => entries.destroy(error))
  tar.pipe(entries)
  let count = 0
  try {
    for await (const entry of entries) {
      count += 1
      if (count > most) throw tooMany(what, most)
      if (count % entriesAtOnce === 0) await otherWork()
      const { name, type, mode } = entry.header
      if ((type !== 'file' && type !== 'directory') || climbs(name)) entry.resume()
      else {
        const content = await bytesOf(entry)
        const { length: size } = content
        plain.entry({ name, type, mode: mode & 0o777, size, uid: 0, gid: 0, mtime: new Date(0) }, content)
      }
    }
  } catch (error) {
    if (tar.errored !== null || error instanceof RollcallError) throw error
  }
  plain.finalize()
  return await packed
}

/** As `buffer` of node:stream/consumers, which copies everything once more. */
async function bytesOf(stream: AsyncIterable<unknown>): Promise<Buffer> {
  const chunks: Uint8Array[] = []
  for await (const chunk of stream) if (chunk instanceof Uint8Array) chunks.push(chunk)
  return Buffer.concat(chunks)
}

function tooMany(what: string, most: number): RollcallError {
  return new RollcallError(
    'grader-failed',
    `${what} has more than ${most} files and folders: expected fewer where it is graded in another sandbox; exclude what need not be seen`,
  )
}

/** What a NUL ends would be another name than the one that was looked at. */
function climbs(name: string): boolean {
  return name.startsWith('/') || name.includes('\0') || name.split('/').includes('..')
}
