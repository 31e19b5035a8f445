import { createWriteStream } from 'node:fs'
import { mkdir, symlink } from 'node:fs/promises'
import { dirname, join, posix, sep } from 'node:path'
import { Readable } from 'node:stream'
import { pipeline } from 'node:stream/promises'
import { extract } from 'tar-stream'
import type { Extract } from 'tar-stream'
import { RollcallError } from '../protocol/failure.ts'
import { verifiedStream } from './verified-stream.ts'

type TarSource = Extract extends AsyncIterable<infer Source> ? Source : never

/**
 * Writes the entries of a task's copy below `into`.
 * @throws RollcallError `task-invalid` for a tar that has another hash than it should or would write elsewhere
 */
export async function unpackCopy(copy: { tar: Readable | Buffer; checksum: string }, into: string): Promise<void> {
  const source = Buffer.isBuffer(copy.tar) ? Readable.from([copy.tar]) : copy.tar
  const wrong = new RollcallError('task-invalid', `The copy ${copy.checksum} has another content than its name says`)
  const entries = extract()
  const fed = pipeline(verifiedStream(source, copy.checksum, wrong).stream, entries)
  const written = writeAll(entries, into)
  await Promise.all([fed, written])
}

async function writeAll(entries: Extract, into: string): Promise<void> {
  const links = new Set<string>()
  for await (const entry of entries) {
    const path = safePath(entry.header.name, links)
    if (entry.header.type === 'symlink') links.add(path)
    await writeOne(entry, path, into)
  }
}

/** The entry's path, if it lies below the folder and no part of it is a link of the same tar. */
function safePath(name: string, links: ReadonlySet<string>): string {
  const path = name.replace(/\/+$/, '')
  const parts = path.split('/')
  const climbs = path === '' || parts.some((part) => part === '' || part === '.' || part === '..')
  const throughLink = parts.some((_, depth) => links.has(parts.slice(0, depth).join('/')))
  if (climbs || throughLink || path.includes('\0')) throw refusedEntry(name)
  return path
}

async function writeOne(entry: TarSource, path: string, into: string): Promise<void> {
  const { type, linkname, mode } = entry.header
  const full = join(into, path.split('/').join(sep))
  await mkdir(dirname(full), { recursive: true })
  if (type === 'directory') await mkdir(full, { recursive: true })
  else if (type === 'symlink') await symlink(safeTarget(path, linkname ?? ''), full)
  else if (type === 'file') {
    const executable = ((mode ?? 0) & 0o111) !== 0
    return pipeline(entry, createWriteStream(full, { flags: 'wx', mode: executable ? 0o755 : 0o644 }))
  } else throw refusedEntry(path)
  entry.resume()
}

function safeTarget(path: string, target: string): string {
  const reached = posix.normalize(posix.join(posix.dirname(path), target))
  if (target.startsWith('/') || reached === '..' || reached.startsWith('../')) throw refusedEntry(path)
  return target
}

function refusedEntry(name: string): RollcallError {
  return new RollcallError(
    'task-invalid',
    `The copy of a task holds ${JSON.stringify(name)}: expected files, folders and links inside the task`,
  )
}
