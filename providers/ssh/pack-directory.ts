import { createReadStream } from 'node:fs'
import { lstat, readdir, readlink } from 'node:fs/promises'
import { join, relative } from 'node:path'
import { pipeline } from 'node:stream/promises'
import { Readable } from 'node:stream'
import { pack } from 'tar-stream'
import type { Header, Pack } from 'tar-stream'

/**
 * A directory that nobody else writes to as a tar, entries in the order of their paths, with modes and symbolic links
 * and without owners.
 */
export function packDirectory(directory: string): Readable {
  const archive = pack()
  packAll(archive, directory).then(
    () => archive.finalize(),
    (error: unknown) => archive.destroy(error instanceof Error ? error : new Error(String(error))),
  )
  return Readable.from(archive)
}

async function packAll(archive: Pack, directory: string): Promise<void> {
  const entries = await readdir(directory, { recursive: true, withFileTypes: true })
  const paths = entries.map((entry) => relative(directory, join(entry.parentPath, entry.name)))
  for (const name of paths.toSorted()) {
    const path = join(directory, name)
    const status = await lstat(path)
    const header: Partial<Header> & { name: string } = { name, mode: status.mode & 0o7777, uid: 0, gid: 0 }
    if (status.isDirectory()) archive.entry({ ...header, type: 'directory' })
    else if (status.isSymbolicLink()) archive.entry({ ...header, type: 'symlink', linkname: await readlink(path) })
    else await pipeline(createReadStream(path), archive.entry({ ...header, size: status.size }))
  }
}
