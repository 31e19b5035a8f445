import { createHash } from 'node:crypto'
import { writeFile } from '../../runner/files.ts'
import {
  artifactFailure,
  failureOf,
  fromWorkspace,
  placeDefaults,
  type ArtifactFailure,
  type SandboxPath,
  type SlotPlace,
} from './slot-place.ts'

const transferTimeoutMs = 600_000

export interface WriteArtifactOptions {
  /** Octal, for instance `755`. Default: of the file that is there, else what the umask leaves. */
  readonly mode?: string
  /** Default 10 min. */
  readonly timeoutMs?: number
}

export type WriteArtifactResult =
  | { readonly ok: true; readonly bytes: number; readonly sha256: string }
  | ArtifactFailure

/** A file, whole or not at all; directories on the way are made. @throws RollcallError `sandbox-lost` */
export async function writeArtifact(
  place: SlotPlace,
  file: { path: SandboxPath; content: string | Uint8Array },
  options: WriteArtifactOptions = {},
): Promise<WriteArtifactResult> {
  const { mode, timeoutMs = transferTimeoutMs } = options
  const content = Buffer.from(file.content)
  const { type, result } = await writeFile(
    place.runner,
    {
      ...placeDefaults(place, 0),
      path: fromWorkspace(place, file.path),
      root: place.root,
      content,
      timeoutMs,
      ...(mode === undefined ? {} : { mode }),
    },
    place.signal === undefined ? {} : { signal: place.signal },
  )
  if (type === 'failed') return failureOf(file.path, result)
  if (type !== 'written') return artifactFailure(file.path, type)
  return { ok: true, bytes: content.length, sha256: createHash('sha256').update(content).digest('hex') }
}
