import type { ExecId, ExecResult } from '../../protocol/exec.ts'
import { belowRoot, type SandboxPath } from '../../runner/confined-path.ts'
import { fileProblem, type FileProblem } from '../../runner/files.ts'
import type { Runner } from '../../runner/runner.ts'

/** One slot as its tools and files are reached: whose commands they are, and where. */
export interface SlotPlace {
  readonly runner: Runner
  /** Absent: the sandbox's user. */
  readonly user?: string
  /** Absolute; relative paths begin there. */
  readonly workspace: string
  /** Paths must stay below it: the workspace or, where absolute paths are allowed, `/`. */
  readonly root: string
  /** The ids of one call's commands, by part from 0. */
  readonly execId: (part: number) => ExecId
  /** Aborting it detaches: what runs runs on. */
  readonly signal?: AbortSignal
}

export type { SandboxPath }

/** Why there is nothing to hand back, of files: a result, as every failing command. */
export type ArtifactProblem =
  | FileProblem
  /** More than `maxBytes`. */
  | 'too-large'
  /** More than `maxEntries`. */
  | 'too-many-entries'
  | 'timed-out'
  /** The command failed or its fate is unknown; the message says how. */
  | 'failed'

export interface ArtifactFailure {
  readonly ok: false
  readonly problem: ArtifactProblem
  /** One sentence. */
  readonly message: string
}

const sentences: Readonly<Record<Exclude<ArtifactProblem, 'failed'>, string>> = {
  'not-found': 'does not exist, or is not reached through directories alone',
  'is-a-directory': 'is a directory',
  'permission-denied': 'may not be accessed by the user of the slot',
  'not-a-file': 'is not a regular file',
  outside: 'leads out of the workspace',
  'root-missing': 'cannot be reached: the workspace is gone or has become a link',
  'too-large': 'has more bytes than maxBytes allows',
  'too-many-entries': 'has more entries than maxEntries allows',
  'timed-out': 'took longer than timeoutMs',
}

export function artifactFailure(path: SandboxPath, problem: Exclude<ArtifactProblem, 'failed'>): ArtifactFailure {
  return { ok: false, problem, message: `${shownPath(path)} ${sentences[problem]}` }
}

/** What a command that did not succeed came to. */
export function failureOf(path: SandboxPath, result: ExecResult): ArtifactFailure {
  const { outcome } = result
  if (outcome.type === 'timed-out') return artifactFailure(path, 'timed-out')
  const problem = fileProblem(result)
  if (problem !== undefined) return artifactFailure(path, problem)
  const how = outcome.type === 'exited' ? `exit code ${outcome.code}` : outcome.type
  const reason = outcome.type === 'lost' ? ` (${outcome.reason})` : ''
  const said = result.stderr.head.toString('utf8').trim().slice(0, 500)
  const message = `${shownPath(path)} could not be read: ${how}${reason}${said === '' ? '' : `: ${said}`}`
  return { ok: false, problem: 'failed', message }
}

/** A path as scripts below `root` take it; undefined for one that leads out by its very text. */
export function scriptPath(place: SlotPlace, path: SandboxPath): Record<string, string> | undefined {
  return belowRoot(place.root, fromWorkspace(place, path))
}

/** Where the root is not the workspace, a relative path is made absolute. */
export function fromWorkspace({ root, workspace }: SlotPlace, path: SandboxPath): SandboxPath {
  if (root === workspace) return path
  if (typeof path === 'string') return path.startsWith('/') ? path : `${workspace}/${path}`
  return path[0] === 0x2f ? path : Buffer.concat([Buffer.from(`${workspace}/`), path])
}

/** What all execs of a place have in common. */
export function placeDefaults(place: SlotPlace, part: number): { id: ExecId; cwd: string; user?: string } {
  // Where the workspace is gone, the script itself says so.
  return { id: place.execId(part), cwd: '/', ...(place.user !== undefined && { user: place.user }) }
}

export function shownPath(path: SandboxPath): string {
  return typeof path === 'string' ? path : Buffer.from(path).toString('utf8')
}

/** @throws RangeError: a bound that is not one is a mistake of the program */
export function checkedBound(name: string, value: number, least = 0): number {
  if (Number.isInteger(value) && value >= least) return value
  throw new RangeError(`${name} is ${value}: expected a whole number, ${least} or more`)
}
