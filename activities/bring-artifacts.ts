import { posix } from 'node:path'
import { buffer } from 'node:stream/consumers'
import type { Readable } from 'node:stream'
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
import type { JobContext } from './job-context.ts'

/** The worker holds each in memory. */
const maxArtifactBytes = 256 * 1024 ** 2

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

/** Puts stored artifacts into a sandbox, at their original paths; `first` is the id of the first one's upload. */
export async function putArtifacts(
  artifacts: readonly ArtifactRecord[],
  at: { runner: Runner; store: Store; first: ExecId; signal: AbortSignal },
): Promise<void> {
  const { runner, store, first, signal } = at
  for (const [part, artifact] of artifacts.entries()) {
    if (artifact.key === undefined) continue
    assertSize(artifact)
    const stored = await store.open(artifact.key)
    if (stored === undefined) throw new RollcallError('artifacts-missing', `The store has no ${artifact.key}`)
    const directory = artifact.type === 'file' ? posix.dirname(artifact.source) : artifact.source
    await uploadTree(runner, { id: { ...first, part }, tar: await plainFiles(stored), directory }, { signal })
  }
}

/** A task that says so in plain words was refused; a path that is relative is known only here. */
function assertForeign({ source }: ArtifactRecord): void {
  if (!/^\/(tests|logs\/verifier)(\/|$)/.test(source)) return
  throw new RollcallError('grader-failed', `Artifact ${source} lies where the separate verifier has its own files`)
}

function assertSize({ source, bytes = 0 }: ArtifactRecord): void {
  if (bytes <= maxArtifactBytes) return
  throw new RollcallError(
    'grader-failed',
    `Artifact ${source} is ${bytes} bytes: expected at most 256 MiB where it is graded in another sandbox; exclude what need not be seen`,
  )
}

/** The plain files and folders of a tar out of a sandbox; of one that is cut, what comes before. Exported for its test. */
export async function plainFiles(tar: Readable): Promise<Buffer> {
  const entries = extract()
  const plain = pack()
  const packed = buffer(plain)
  // What it throws reaches the loop below.
  tar.on('error', (error) => entries.destroy(error))
  tar.pipe(entries)
  try {
    for await (const entry of entries) {
      const { name, type, mode } = entry.header
      if ((type !== 'file' && type !== 'directory') || climbs(name)) entry.resume()
      else {
        const content = await buffer(entry)
        const { length: size } = content
        plain.entry({ name, type, mode: mode & 0o777, size, uid: 0, gid: 0, mtime: new Date(0) }, content)
      }
    }
  } catch (error) {
    if (tar.errored !== null) throw error
  }
  plain.finalize()
  return await packed
}

function climbs(name: string): boolean {
  return name.startsWith('/') || name.split('/').includes('..')
}
