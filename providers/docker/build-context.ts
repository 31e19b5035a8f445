import { createReadStream } from 'node:fs'
import { lstat, readdir, readFile, readlink } from 'node:fs/promises'
import { join } from 'node:path'
import { Readable } from 'node:stream'
import { pipeline } from 'node:stream/promises'
import ignore from '@balena/dockerignore'
import { pack, type Header, type Pack } from 'tar-stream'

/**
 * A build context as the tar that the Engine takes: the directory without what `.dockerignore` names (a
 * `Dockerfile.dockerignore` goes before it), with `dockerfile` as the text of its Dockerfile. Owners are root, as the
 * Docker command line does it; modes and symbolic links are kept; sockets and devices are left out.
 */
export function packContext(options: { readonly directory: string; readonly dockerfile: string }): Readable {
  const archive = pack()
  writeContext(archive, options).then(
    () => archive.finalize(),
    (error: unknown) => archive.destroy(error instanceof Error ? error : new Error(String(error))),
  )
  return Readable.from(archive)
}

/** A context of a few small files that exist only in memory. */
export function packFiles(files: Readonly<Record<string, string>>): Readable {
  const archive = pack()
  for (const [name, text] of Object.entries(files)) archive.entry({ name, mode: 0o644 }, text)
  archive.finalize()
  return Readable.from(archive)
}

async function writeContext(archive: Pack, options: { directory: string; dockerfile: string }): Promise<void> {
  archive.entry({ name: 'Dockerfile', mode: 0o644 }, options.dockerfile)
  const isIgnored = await readIgnoreRules(options.directory)
  for await (const path of walk(options.directory, '')) {
    if (path !== 'Dockerfile' && !isIgnored(path)) await writeEntry(archive, options.directory, path)
  }
}

async function* walk(root: string, folder: string): AsyncGenerator<string> {
  const entries = await readdir(join(root, folder), { withFileTypes: true })
  for (const entry of entries.toSorted((a, b) => (a.name < b.name ? -1 : 1))) {
    const path = folder === '' ? entry.name : `${folder}/${entry.name}`
    yield path
    if (entry.isDirectory()) yield* walk(root, path)
  }
}

async function writeEntry(archive: Pack, root: string, path: string): Promise<void> {
  const stats = await lstat(join(root, path))
  const header: Partial<Header> & { name: string } = {
    name: path,
    mode: stats.mode & 0o7777,
    mtime: stats.mtime,
    uid: 0,
    gid: 0,
  }
  if (stats.isDirectory()) archive.entry({ ...header, type: 'directory' })
  else if (stats.isSymbolicLink()) {
    archive.entry({ ...header, type: 'symlink', linkname: await readlink(join(root, path)) })
  } else if (stats.isFile()) {
    await pipeline(createReadStream(join(root, path)), archive.entry({ ...header, size: stats.size }))
  }
}

async function readIgnoreRules(directory: string): Promise<(path: string) => boolean> {
  const text =
    (await readIfThere(join(directory, 'Dockerfile.dockerignore'))) ??
    (await readIfThere(join(directory, '.dockerignore')))
  if (text === undefined) return () => false
  const rules = ignore.default().add(text.split(/\r?\n/))
  return (path) => rules.ignores(path)
}

async function readIfThere(path: string): Promise<string | undefined> {
  try {
    return await readFile(path, 'utf8')
  } catch (error) {
    if (error instanceof Error && 'code' in error && error.code === 'ENOENT') return undefined
    throw error
  }
}
