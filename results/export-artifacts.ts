import { randomUUID } from 'node:crypto'
import { createWriteStream } from 'node:fs'
import { mkdir, readdir, rename, rm } from 'node:fs/promises'
import { dirname, join } from 'node:path'
import { pipeline } from 'node:stream/promises'
import { extract } from 'tar-stream'
import { hasCode } from './export-files.ts'
import type { Readable } from 'node:stream'

/**
 * Files and folders that one rollout's artifacts may come to: in a tar of a gigabyte there is room for millions, and for
 * a thousand times as many folders as files.
 */
const mostNames = 50_000

/**
 * Unpacks a rollout's artifacts into `folder`, all at once by renaming: a crash leaves none of it. The tar comes out of
 * a sandbox, so only plain files with paths that stay inside the folder are taken; links and devices are left out. Of one
 * that is cut, no tar at all, or of more names than `mostNames`, what comes before is taken.
 * A folder that is there already has been unpacked before and stays.
 */
export async function unpackArtifacts(tar: Readable, folder: string, most = mostNames): Promise<void> {
  const temporary = join(dirname(folder), `.artifacts.${randomUUID()}.tmp`)
  try {
    await mkdir(temporary, { recursive: true })
    await unpackInto(tar, temporary, most)
    await rename(temporary, folder)
  } catch (error) {
    if (!hasCode(error, 'ENOTEMPTY') && !hasCode(error, 'EEXIST')) throw error
  } finally {
    tar.destroy()
    await rm(temporary, { recursive: true, force: true })
  }
}

/** Whether artifacts have been unpacked there. */
export async function hasArtifacts(folder: string): Promise<boolean> {
  try {
    return (await readdir(folder)).length > 0
  } catch (error) {
    if (hasCode(error, 'ENOENT')) return false
    throw error
  }
}

async function unpackInto(tar: Readable, folder: string, most: number): Promise<void> {
  const entries = extract()
  tar.on('error', (error) => entries.destroy(error))
  tar.pipe(entries)
  const names = new Set<string>()
  try {
    for await (const entry of entries) {
      const inside = entry.header.type === 'file' ? safePath(entry.header.name) : undefined
      if (inside !== undefined && !addNames(names, inside, most)) break
      const target = inside === undefined ? undefined : join(folder, inside)
      if (target === undefined || !(await writeEntry(entry, target))) entry.resume()
    }
  } catch (error) {
    if (tar.errored !== null || !isMalformed(error)) throw error
  }
}

/** Notes a path and the folders above it. @returns false when they are too many */
function addNames(names: Set<string>, path: string, most: number): boolean {
  for (let end = path.length; end > 0 && !names.has(path.slice(0, end)); end = path.lastIndexOf('/', end - 1)) {
    if (names.size >= most) return false
    names.add(path.slice(0, end))
  }
  return true
}

/** What tar-stream throws has no code, what the file system throws has one. */
function isMalformed(error: unknown): boolean {
  return error instanceof Error && !('code' in error)
}

/** @returns false when the name cannot be a file here: taken by a folder, below a file, or too long. */
async function writeEntry(entry: AsyncIterable<unknown>, target: string): Promise<boolean> {
  try {
    await mkdir(dirname(target), { recursive: true })
    await pipeline(entry, createWriteStream(target, { mode: 0o644 }))
    return true
  } catch (error) {
    if (['EISDIR', 'ENOTDIR', 'EEXIST', 'ENAMETOOLONG'].some((code) => hasCode(error, code))) return false
    if (isMalformed(error)) await rm(target, { force: true })
    throw error
  }
}

/** The path below the folder, or undefined for one that is empty or would climb out. */
export function safePath(name: string): string | undefined {
  const segments = name.split('/').filter((segment) => segment !== '' && segment !== '.')
  const climbs = segments.some((segment) => segment === '..' || segment.includes('\0'))
  return climbs || segments.length === 0 ? undefined : segments.join('/')
}
