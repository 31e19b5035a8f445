import { createHash } from 'node:crypto'
import { readFile } from 'node:fs/promises'
import { join } from 'node:path'
import { Readable } from 'node:stream'
import { pack } from 'tar-stream'
import type { Header, Pack } from 'tar-stream'
import type { TaskFile } from './task-files.ts'

const epoch = new Date(0)

/** One entry of a tar: a file of the task under the name it gets. */
export interface TarEntry {
  readonly file: TaskFile
  readonly name: string
  /** Makes a file executable whose mode does not say so: an interpreter's line or a shell script's name does. */
  readonly scriptsExecutable?: boolean
}

/**
 * A tar that depends on names, contents and the executable bit alone: no times, owners or other modes, in the order
 * given. The same tree gives the same bytes on every machine.
 */
export function packEntries(directory: string, entries: readonly TarEntry[]): Readable {
  const tar = pack()
  writeEntries(tar, directory, entries).then(
    () => tar.finalize(),
    (error: unknown) => tar.destroy(error instanceof Error ? error : new Error(String(error))),
  )
  return Readable.from(tar)
}

async function writeEntries(tar: Pack, directory: string, entries: readonly TarEntry[]): Promise<void> {
  for (const entry of entries) await writeEntry(tar, directory, entry)
}

async function writeEntry(tar: Pack, directory: string, { file, name, scriptsExecutable }: TarEntry): Promise<void> {
  const common = { name, mtime: epoch, uid: 0, gid: 0 }
  if (file.type === 'directory') return addEntry(tar, { ...common, type: 'directory', mode: 0o755 })
  if (file.type === 'symlink') {
    return addEntry(tar, { ...common, type: 'symlink', mode: 0o777, linkname: file.target ?? '' })
  }
  const content = await readFile(join(directory, file.path))
  const executable = file.executable || (scriptsExecutable === true && isScript(name, content))
  return addEntry(tar, { ...common, type: 'file', mode: executable ? 0o755 : 0o644, size: content.length }, content)
}

function addEntry(tar: Pack, header: Partial<Header> & { name: string }, content = Buffer.alloc(0)): Promise<void> {
  return new Promise((resolve, reject) => {
    const done = (error?: Error | null): void => (error ? reject(error) : resolve())
    tar.entry(header, content, done)
  })
}

function isScript(name: string, content: Buffer): boolean {
  return name.endsWith('.sh') || content.subarray(0, 2).toString('latin1') === '#!'
}

/** sha256 of a stream, hex. */
export async function hashOf(stream: Readable): Promise<string> {
  const hash = createHash('sha256')
  for await (const chunk of stream) hash.update(chunk)
  return hash.digest('hex')
}
