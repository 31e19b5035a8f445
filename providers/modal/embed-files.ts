import { lstat, readFile, readlink } from 'node:fs/promises'
import { basename, join } from 'node:path'
import { Readable } from 'node:stream'
import { promisify } from 'node:util'
import { gzip } from 'node:zlib'
import { pack, type Header } from 'tar-stream'
import { RollcallError } from '../../protocol/failure.ts'
import { entriesBelow, type ContextEntry } from '../host-sandbox/build-context.ts'

/** COPY or ADD of files of the build context. */
export interface CopyStep {
  readonly type: 'copy'
  readonly sources: readonly ContextEntry[]
  /** As written; the shell of the build puts the image's variables in. */
  readonly destination: string
  /** Of `--chmod`. */
  readonly mode?: number
  /** Of `--chown`: names or numbers of the image. Default root. */
  readonly owner?: string
  /** Who the lines after it run as. */
  readonly user?: string
}

/** A build context: where it is, and what `.dockerignore` leaves of it. */
interface Context {
  readonly directory: string
  readonly entries: readonly ContextEntry[]
}

/** A line of a Dockerfile may have 65,535 bytes, one argument of a program 128 KiB. */
const lineBytes = 60_000

/** Each line is a layer, of which there are 127; so much comes to 24 of them. */
const longestBase64 = 24 * lineBytes

const archiveFile = '/.rollcall-copy'

/**
 * The lines that do what a COPY line would: the SDK has no way to send files of a build context, so they are in the
 * lines themselves, as a compressed tar in base64. The image needs `base64`, `tar`, `gzip` and `cp`.
 * @throws `image-build-failed` when it is too much for that
 */
export async function copyCommands(context: Context, step: CopyStep): Promise<string[]> {
  const archive = (await packSources(context, step)).toString('base64')
  if (archive.length > longestBase64) {
    const expected = `at most ${Math.floor((longestBase64 * 3) / 4)} bytes, since the SDK of Modal sends no build context`
    throw new RollcallError(
      'image-build-failed',
      `COPY to ${step.destination} has ${Math.ceil((archive.length * 3) / 4)} bytes when compressed: expected ${expected}. Publish the image and name it, or use --provider docker.`,
    )
  }
  return asRoot(step.user, [...carry(archive, archiveFile), `RUN ${unpackScript(step)}`])
}

/** The lines that run a script of our own as root. */
export function scriptCommands(script: string): string[] {
  const text = Buffer.from(script).toString('base64')
  const run = `base64 -d <${archiveFile} >${archiveFile}.sh && rm ${archiveFile} && sh ${archiveFile}.sh && rm ${archiveFile}.sh`
  return ['USER 0', ...carry(text, archiveFile), `RUN ${run}`]
}

function carry(base64: string, file: string): string[] {
  const pieces = base64.match(new RegExp(`.{1,${lineBytes}}`, 'g')) ?? ['']
  return pieces.map((piece) => `RUN printf %s ${piece} >>${file}`)
}

function asRoot(user: string | undefined, commands: readonly string[]): string[] {
  return user === undefined ? [...commands] : ['USER 0', ...commands, `USER ${user}`]
}

/** Directories are merged into what is there; a single file takes the name, unless that is a directory's. */
function unpackScript({ sources, destination }: CopyStep): string {
  const isInto = sources.length > 1 || sources[0]?.type === 'directory' || /(^|\/)\.{0,2}$/.test(destination)
  const [single] = sources
  const name = single === undefined ? '' : quoted(basename(single.path))
  const each = `(cd "$d"; for f in * .[!.]* ..?*; do if [ -e "$f" ] || [ -L "$f" ]; then cp -a "$f" "$t/"; fi; done)`
  const into = `mkdir -p "$t"; ${each}`
  const named = `if [ -d "$t" ]; then cp -a "$d"/${name} "$t/"; else mkdir -p "$(dirname "$t")"; cp -a "$d"/${name} "$t"; fi`
  return [
    'set -e',
    'd=$(mktemp -d)',
    `base64 -d <${archiveFile} | tar -xpzf - -C "$d"`,
    `rm ${archiveFile}`,
    `t=${expandedByShell(destination)}`,
    'case $t in /*) ;; *) t=$PWD/$t ;; esac',
    isInto ? into : named,
    'rm -rf "$d"',
  ].join('; ')
}

/** Variables are put in, and nothing is run. */
function expandedByShell(word: string): string {
  const unquoted = word.replaceAll(/^(["'])(.*)\1$/g, '$2')
  return `"${unquoted.replaceAll(/["`]|\$(?=\()/g, '\\$&')}"`
}

/** Two workers that have the same context make the same lines, and so one image: the time of a file is not part of it. */
const fileTime = new Date('2000-01-01T00:00:00Z')

async function packSources({ directory, entries }: Context, step: CopyStep): Promise<Buffer> {
  const archive = pack()
  for (const source of step.sources) {
    const isDirectory = source.type === 'directory'
    const contents = isDirectory ? entriesBelow(source, entries) : [{ ...source, path: basename(source.path) }]
    for (const entry of contents.filter(({ path }) => path !== '')) {
      const from = join(directory, isDirectory ? join(source.path, entry.path) : source.path)
      archive.entry(...(await archiveEntry(from, { entry, step })))
    }
  }
  archive.finalize()
  const pieces: Buffer[] = await Readable.from(archive).toArray()
  return await promisify(gzip)(Buffer.concat(pieces))
}

async function archiveEntry(
  from: string,
  { entry, step }: { entry: ContextEntry; step: CopyStep },
): Promise<[Partial<Header> & { name: string }, Buffer]> {
  const mode = entry.type === 'file' ? (step.mode ?? (await lstat(from)).mode & 0o7777) : 0o755
  const [user = '0', group = user] = (step.owner ?? '0').split(':')
  const owner = { ...idOrName({ id: 'uid', name: 'uname' }, user), ...idOrName({ id: 'gid', name: 'gname' }, group) }
  const header = { name: entry.path, mode, mtime: fileTime, ...owner }
  if (entry.type === 'directory') return [{ ...header, type: 'directory' }, Buffer.alloc(0)]
  if (entry.type === 'link') return [{ ...header, type: 'symlink', linkname: await readlink(from) }, Buffer.alloc(0)]
  return [{ ...header, type: 'file' }, await readFile(from)]
}

/** tar looks a name up in the image, and takes the number where there is no such name. */
function idOrName(fields: { id: 'uid' | 'gid'; name: 'uname' | 'gname' }, value: string): Partial<Header> {
  return /^\d+$/.test(value) ? { [fields.id]: Number(value) } : { [fields.id]: 0, [fields.name]: value }
}

function quoted(text: string): string {
  return `'${text.replaceAll("'", `'\\''`)}'`
}
