import type { Writable } from 'node:stream'
import { execName, type ExecId, type ExecResult } from '../protocol/exec.ts'
import { RollcallError } from '../protocol/failure.ts'
import { belowRoot, confined, confinementCodes, type SandboxPath } from './confined-path.ts'
import type { FailureCode } from '../protocol/failure.ts'
import type { ExecRequest, Runner } from './runner.ts'

/** Files and trees in and out of a sandbox, each by an exec id: asked for twice, it is done once. */

const transferTimeoutMs = 600_000
const smallFileTimeoutMs = 60_000

interface Detachable {
  readonly signal?: AbortSignal
}

export type FileProblem =
  | 'not-found'
  | 'is-a-directory'
  | 'permission-denied'
  | 'not-a-file'
  /** The path leads out of the directory that it must stay below. */
  | 'outside'
  /** That directory is gone, or has been replaced by a link. */
  | 'root-missing'

/** How these scripts say what is wrong with a path. */
const problemCodes: Readonly<Record<number, FileProblem>> = {
  44: 'not-found',
  45: 'is-a-directory',
  46: 'permission-denied',
  47: 'not-a-file',
  [confinementCodes.outside]: 'outside',
  [confinementCodes.rootMissing]: 'root-missing',
}

/**
 * Unpacks a tar into a directory, which is made where it is missing; what is there already stays unless a file of the
 * same name comes, and so do the directory's own owner and mode. Unpacked beside it first and moved, so that nobody sees half a file. File modes are kept.
 * @param upload.user who shall own the files; default root
 * @param upload.refusal what it is that the sandbox answers and does not take the files: something of another kind may lie
 *   where they are to be. Default `sandbox-lost`
 * @throws RollcallError as `refusal` says, `sandbox-lost` when nobody knows what became of them, `runtime-unsupported` without `tar`
 */
export async function uploadTree(
  runner: Runner,
  upload: { id: ExecId; tar: Uint8Array; directory: string; user?: string; refusal?: FailureCode },
  options: Detachable = {},
): Promise<void> {
  await assertTar(runner)
  const { id, tar, directory, user = '', refusal } = upload
  const script = `set -e
[ -d "$RC_DIRECTORY" ] || made=1
mkdir -p -- "$RC_DIRECTORY"
cd -- "$RC_DIRECTORY"
t=.rollcall-${id.scope}-${execName(id)}
trap 'rm -rf "$t"' EXIT
mkdir "$t"
tar -x -p -o -f - -C "$t"
if [ -n "$RC_USER" ]; then
  g=$(id -g "$RC_USER" 2>/dev/null) || g=0
  chown -R "$RC_USER:$g" "$t"
  [ -z "$made" ] || chown "$RC_USER:$g" .
fi
for f in "$t"/* "$t"/.[!.]* "$t"/..?*; do
  if [ -e "$f" ] || [ -L "$f" ]; then cp -a "$f" .; fi
done`
  const env = { RC_DIRECTORY: directory, RC_USER: user }
  const result = await runner.exec(asRoot({ id, script, env, stdin: tar, timeoutMs: transferTimeoutMs }), options)
  assertDone(result, `Uploading files to ${directory}`, refusal)
}

/** One file; parents are made. @param file.mode octal, default 644. @throws as uploadTree */
export async function uploadFile(
  runner: Runner,
  file: { id: ExecId; content: Uint8Array; path: string; mode?: string },
  options: Detachable = {},
): Promise<void> {
  const { id, content, path, mode = '644' } = file
  const request = writeRequest({ id, path, content, mode }, { RC_PATH: asOperand(path) })
  assertDone(await runner.exec(asRoot(request), options), `Uploading ${path}`)
}

/**
 * A directory's content as a tar, streamed to `sink`, which is ended; links stay links.
 * @param download.maxBytes of the tar, so that a sparse file does not fill the disk; default: no limit
 * @throws RollcallError `sandbox-lost` when the directory cannot be read, `runtime-unsupported` without `tar`
 */
export async function downloadTree(
  runner: Runner,
  download: { id: ExecId; directory: string; sink: Writable; maxBytes?: number },
  options: Detachable = {},
): Promise<void> {
  await assertTar(runner)
  const { id, directory, sink, maxBytes } = download
  // Blocks are 512 bytes in sh, as POSIX has it.
  const limit = maxBytes === undefined ? '' : `ulimit -f ${Math.floor(maxBytes / 512)} && `
  const request = {
    id,
    script: `cd -- "$RC_DIRECTORY" && ${limit}tar -c -f - .`,
    env: { RC_DIRECTORY: directory },
    timeoutMs: transferTimeoutMs,
    stdoutSink: sink,
    isTransfer: true,
  } as const
  assertDone(await runner.exec(asRoot(request), options), `Downloading ${directory}`)
}

export interface ReadRequest {
  readonly id: ExecId
  /** Absolute, or relative to `cwd`. Bytes only below a `root`. */
  readonly path: SandboxPath
  readonly maxBytes: number
  /** False: a symbolic link is `not-a-file`. Default true. */
  readonly followLinks?: boolean
  readonly cwd?: string
  /**
   * Absolute: the file must be below this directory, which \`path\` is then relative to, however links, \`..\` and other
   * processes turn it; a file with several names must have all of them there. Default: any file.
   */
  readonly root?: string
  readonly user?: string
  readonly timeoutMs?: number
  /** Default: all that is read. */
  readonly captureBytes?: number
  /** Gets one byte more than `maxBytes` where there is more. */
  readonly stdoutSink?: Writable
  readonly stderrSink?: Writable
}

/** What came of reading a file. `result` is the command's own. */
export type ReadOutcome = { readonly result: ExecResult } & (
  | { readonly type: 'read'; readonly content: Buffer; readonly truncated: boolean }
  | { readonly type: FileProblem }
  /** The command failed, timed out or was lost. */
  | { readonly type: 'failed' }
)

/** The first `maxBytes` bytes of a regular file. */
export async function readFile(runner: Runner, file: ReadRequest, options: Detachable = {}): Promise<ReadOutcome> {
  const { path: _, maxBytes, followLinks = true, timeoutMs = smallFileTimeoutMs, root, ...rest } = file
  const place = placeOf(file)
  if (place === undefined) return { type: 'outside', result: notRun }
  const script = `${root === undefined ? 'f=$RC_PATH' : confined.toRead}
${followLinks ? '' : '[ ! -L "$f" ] || exit 47'}
[ -e "$f" ] || [ -L "$f" ] || { ls -d -- "$f" 2>&1 | grep -qi "permission denied" && exit 46; exit 44; }
[ ! -d "$f" ] || exit 45
[ -e "$f" ] || exit 44
[ -f "$f" ] || exit 47
[ -r "$f" ] || exit 46
${root === undefined ? '' : confined.open}
exec head -c ${maxBytes + 1} ${root === undefined ? '<"$f"' : '<&3'}`
  const request = { captureBytes: maxBytes + 1, ...rest, script, env: place, timeoutMs }
  const result = await runner.exec(request, options)
  const problem = fileProblem(result)
  if (problem !== undefined) return { type: problem, result }
  if (!isDone(result)) return { type: 'failed', result }
  const { head, bytes } = result.stdout
  return { type: 'read', content: head.subarray(0, maxBytes), truncated: bytes > maxBytes, result }
}

export interface WriteRequest {
  readonly id: ExecId
  /** Absolute, or relative to `cwd`. A link is followed. Bytes only below a `root`. */
  readonly path: SandboxPath
  readonly content: Uint8Array
  /** Octal. Default: the mode of the file that is there, else what the umask leaves. */
  readonly mode?: string
  readonly cwd?: string
  /** As for reading: it is then written below this directory or not at all, and directories are made only there. */
  readonly root?: string
  readonly user?: string
  readonly timeoutMs?: number
}

export type WriteOutcome = { readonly result: ExecResult; readonly type: 'written' | 'failed' | FileProblem }

/** Writes a file whole or not at all; parents are made, and the mode of a file that is there is kept. */
export async function writeFile(runner: Runner, file: WriteRequest, options: Detachable = {}): Promise<WriteOutcome> {
  const place = placeOf(file)
  if (place === undefined) return { type: 'outside', result: notRun }
  const request = file.root === undefined ? writeRequest(file, place) : confinedWrite(file, place)
  const result = await runner.exec(request, options)
  return { type: fileProblem(result) ?? (isDone(result) ? 'written' : 'failed'), result }
}

function writeRequest(file: WriteRequest, place: Readonly<Record<string, string>>): ExecRequest {
  const { path: _, content, mode = '', timeoutMs = smallFileTimeoutMs, ...rest } = file
  const script = `f=$RC_PATH
if [ -L "$f" ]; then
  f=$(readlink -f -- "$f" && echo /) || exit 44
  f=\${f%??}
fi
[ ! -d "$f" ] || exit 45
[ ! -e "$f" ] || [ -f "$f" ] || exit 47
case $f in */*) d=\${f%/*} ;; *) d=. ;; esac
[ -n "$d" ] || d=/
mkdir -p "$d" || exit 46
t=$d/.rollcall-${file.id.scope}-${execName(file.id)}
trap 'rm -f "$t"' EXIT
[ -w "$d" ] || exit 46
if [ -e "$f" ]; then
  [ -w "$f" ] || exit 46
  cp -p "$f" "$t" || exit
fi
cat >"$t" && { [ -z "$RC_MODE" ] || chmod "$RC_MODE" "$t"; } && mv "$t" "$f"`
  return { ...rest, script, env: { ...place, RC_MODE: mode }, stdin: content, timeoutMs }
}

/** In the file's own directory, which nobody can put elsewhere meanwhile: a link of its name is replaced, not followed. */
function confinedWrite(file: WriteRequest, place: Readonly<Record<string, string>>): ExecRequest {
  const { path: _, root: __, content, mode = '', timeoutMs = smallFileTimeoutMs, ...rest } = file
  const script = `${confined.toWrite}
[ ! -d "$f" ] || exit 45
[ ! -e "$f" ] || [ -f "$f" ] || exit 47
[ -w . ] || exit 46
t=./.rollcall-${file.id.scope}-${execName(file.id)} was=
trap 'rm -f "$t"' EXIT
if [ -e "$f" ]; then
  [ -w "$f" ] || exit 46
  was=$(stat -c '%a %u:%g' "$f") || exit 46
fi
set -C
cat >"$t" || exit
[ -z "$was" ] || { chown "\${was#* }" "$t" 2>/dev/null; chmod "\${was%% *}" "$t"; } || exit
[ -z "$RC_MODE" ] || chmod "$RC_MODE" "$t" || exit
mv -f "$t" "$f"`
  return { ...rest, script, env: { ...place, RC_MODE: mode }, stdin: content, timeoutMs }
}

/** Variables that tell a script where a file is; undefined for a path that names something outside outright. */
export function placeOf({ path, root }: { path: SandboxPath; root?: string }): Record<string, string> | undefined {
  if (root !== undefined) return belowRoot(root, path)
  return { RC_PATH: asOperand(typeof path === 'string' ? path : Buffer.from(path).toString()) }
}

const nothing = { head: Buffer.alloc(0), tail: Buffer.alloc(0), bytes: 0, truncated: false }
/** Of a request that was refused before anything was started. */
const notRun: ExecResult = {
  outcome: { type: 'exited', code: confinementCodes.outside },
  stdout: nothing,
  stderr: nothing,
  durationMs: 0,
}

/** A path that no program takes for an option. */
export function asOperand(path: string): string {
  return path.startsWith('/') ? path : `./${path}`
}

function asRoot(request: ExecRequest): ExecRequest {
  return { ...request, user: 'root', cwd: '/' }
}

export function isDone({ outcome }: ExecResult): boolean {
  return outcome.type === 'exited' && outcome.code === 0
}

/** What is wrong with a path, where a script of this module has said so. */
export function fileProblem({ outcome }: ExecResult): FileProblem | undefined {
  return outcome.type === 'exited' ? problemCodes[outcome.code] : undefined
}

/** @throws RollcallError `runtime-unsupported` */
export async function assertTar(runner: Runner): Promise<void> {
  if ((await runner.hello()).tar) return
  throw new RollcallError(
    'runtime-unsupported',
    'The image has no `tar`, which Rollcall needs to move directories in and out: add it to the image',
  )
}

function assertDone(result: ExecResult, what: string, refusal: FailureCode = 'sandbox-lost'): void {
  if (isDone(result)) return
  const { outcome } = result
  const how = outcome.type === 'exited' ? `exit code ${outcome.code}` : outcome.type
  const reason = outcome.type === 'lost' ? ` (${outcome.reason})` : ''
  const said = result.stderr.head.toString('utf8').trim().slice(0, 500)
  const code = outcome.type === 'lost' ? 'sandbox-lost' : refusal
  throw new RollcallError(code, `${what} failed with ${how}${reason}${said === '' ? '' : `: ${said}`}`)
}
