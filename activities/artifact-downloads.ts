import { quoted } from '../agents/shell.ts'
import type { PartInput } from '../protocol/activities.ts'
import type { ExecResult } from '../protocol/exec.ts'
import { RollcallError } from '../protocol/failure.ts'
import type { ArtifactRecord } from '../protocol/grade.ts'
import type { Runner } from '../runner/runner.ts'
import { collectedTarKey } from '../store/keys.ts'
import type { Store } from '../store/store.ts'
import { ExecLog } from './exec-log.ts'
import { phaseScope } from './upload-for-agent.ts'

/** Harbor's folder for artifacts, which is always collected. */
export const artifactsFolder = '/logs/artifacts'

/** Of all artifacts of one part together; what is beyond is cut off: a sparse file would fill disks here and there. */
const maxArtifactsBytes = 1024 ** 3

const lookTimeoutMs = 60_000
const transferTimeoutMs = 600_000

export interface WantedArtifact {
  /** Absolute. */
  readonly source: string
  /** Relative to `artifacts/`. */
  readonly destination: string
  readonly exclude: readonly string[]
}

interface DownloadsAt {
  readonly runner: Runner
  readonly signal: AbortSignal
  readonly store: Store
  readonly onAnswer?: () => void
  /** Default 1 GiB. */
  readonly maxBytes?: number
}

/**
 * Takes artifacts out of a sandbox, one tar each. Links and special files are never followed or read. By exec ids and
 * `putOnce`, in batch 1 of the phase.
 */
export class ArtifactDownloads {
  readonly #input: PartInput
  readonly #at: DownloadsAt
  #leftBytes: number

  constructor(input: PartInput, at: DownloadsAt) {
    this.#input = input
    this.#at = at
    this.#leftBytes = at.maxBytes ?? maxArtifactsBytes
  }

  async run(wanted: readonly WantedArtifact[]): Promise<ArtifactRecord[]> {
    const kinds = await this.#look(wanted)
    this.#at.onAnswer?.()
    const records: ArtifactRecord[] = []
    for (const [index, artifact] of wanted.entries()) {
      const taken = records.some(
        ({ status, destination }) => status !== 'missing' && overlap(destination, artifact.destination),
      )
      const kind = kinds[index] ?? 'missing'
      records.push(
        taken && kind !== 'missing'
          ? skipped(artifact, 'its destination is taken')
          : await this.#fetch(artifact, kind, index),
      )
    }
    return records
  }

  /** What each source is, in one command. */
  async #look(wanted: readonly WantedArtifact[]): Promise<string[]> {
    const script = `for f in ${wanted.map(({ source }) => quoted(source)).join(' ')}; do
if [ -L "$f" ]; then echo link
elif [ -d "$f" ]; then if [ -n "$(ls -A -- "$f" 2>/dev/null)" ]; then echo directory; else echo empty; fi
elif [ -f "$f" ]; then echo file
elif [ -e "$f" ]; then echo special
else echo missing; fi
done`
    const request = { id: this.#id(0), script, user: 'root', cwd: '/', timeoutMs: lookTimeoutMs }
    const { outcome, stdout } = await this.#at.runner.exec(request, { signal: this.#at.signal })
    if (outcome.type === 'exited' && outcome.code === 0) return stdout.head.toString().trim().split('\n')
    throw new RollcallError('sandbox-lost', `The sandbox could not say which artifacts it has (${outcome.type})`)
  }

  async #fetch(artifact: WantedArtifact, kind: string, index: number): Promise<ArtifactRecord> {
    if (kind === 'missing' || (kind === 'empty' && artifact.source === artifactsFolder))
      return { ...pathsOf(artifact), status: 'missing' }
    if (kind === 'link') return skipped(artifact, 'it is a symbolic link')
    if (kind === 'special') return skipped(artifact, 'it is neither a file nor a folder')
    const type = kind === 'file' ? ('file' as const) : ('directory' as const)
    if (this.#leftBytes <= 0) return { ...pathsOf(artifact), type, status: 'partial', reason: 'no room is left for it' }
    const key = collectedTarKey({ ...this.#input, index })
    const limit = this.#leftBytes
    const log = new ExecLog(this.#input, this.#at.store, limit)
    const request = { ...this.#tarRequest(artifact, type), id: this.#id(index + 1), stdoutSink: log.spoolTo(key) }
    const { stdout, outcome } = await this.#stored(log, this.#at.runner.exec(request, { signal: this.#at.signal }))
    if (outcome.type === 'lost') throw new RollcallError('sandbox-lost', `Collecting ${artifact.source} was lost`)
    const bytes = Math.min(stdout.bytes, limit)
    this.#leftBytes -= bytes
    const isWhole = outcome.type === 'exited' && outcome.code === 0
    // A small busybox knows no --exclude; what was to be left out is not to come with the rest.
    if (!isWhole && bytes === 0 && artifact.exclude.length > 0) {
      return skipped(artifact, 'the tar of the image cannot leave files out')
    }
    const how = outcome.type === 'exited' ? `tar exited with ${outcome.code}` : `tar ${outcome.type}`
    return {
      ...pathsOf(artifact),
      type,
      ...(isWhole ? { status: 'ok' } : { status: 'partial', reason: how }),
      bytes,
      ...(bytes === 0 ? {} : { key }),
    }
  }

  async #stored(log: ExecLog, downloading: Promise<ExecResult>): Promise<ExecResult> {
    try {
      return await downloading
    } finally {
      await log.flush()
    }
  }

  #tarRequest({ source, exclude }: WantedArtifact, type: 'file' | 'directory') {
    const at = source.lastIndexOf('/')
    const [folder, name] =
      type === 'directory' ? [source, '.'] : [source.slice(0, at) || '/', `./${source.slice(at + 1)}`]
    const excludes = exclude.map((pattern) => `--exclude=${quoted(pattern)} `).join('')
    // Blocks are 512 bytes in sh, as POSIX has it.
    const script = `cd -- ${quoted(folder)} && ulimit -f ${Math.ceil(this.#leftBytes / 512)} && tar -c -f - ${excludes}${quoted(name)}`
    return { script, user: 'root', cwd: '/', timeoutMs: transferTimeoutMs, isTransfer: true } as const
  }

  #id(call: number) {
    return { scope: phaseScope(this.#input), phase: this.#input.phase, batch: 1, call, part: 0 }
  }
}

function pathsOf({ source, destination }: WantedArtifact) {
  return { source, destination }
}

function skipped(artifact: WantedArtifact, reason: string): ArtifactRecord {
  return { ...pathsOf(artifact), status: 'skipped', reason }
}

/** Whether one of two paths is the other or lies below it. */
function overlap(one: string, other: string): boolean {
  return one === other || `${other}/`.startsWith(`${one}/`) || `${one}/`.startsWith(`${other}/`)
}
