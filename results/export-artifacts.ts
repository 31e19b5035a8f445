import { randomUUID } from 'node:crypto'
import { createWriteStream } from 'node:fs'
import { mkdir, readdir, rename, rm, writeFile } from 'node:fs/promises'
import { basename, dirname, join } from 'node:path'
import { pipeline } from 'node:stream/promises'
import { extract } from 'tar-stream'
import type { ArtifactRecord } from '../protocol/grade.ts'
import { hasCode } from './export-files.ts'
import type { Readable } from 'node:stream'

/**
 * Unpacks what was collected into `folder`, with Harbor's manifest beside it, all at once by renaming: a crash leaves none
 * of it. The tars come out of a sandbox, so only plain files with paths that stay inside the folder are taken; links and
 * devices are left out. Of one that is cut or no tar at all, what comes before the damage is taken.
 * A folder that is there already has been unpacked before and stays.
 */
export async function unpackArtifacts(
  artifacts: readonly ArtifactRecord[],
  { open, folder }: { open: (key: string) => Promise<Readable | undefined>; folder: string },
): Promise<void> {
  if (artifacts.length === 0 || (await hasArtifacts(folder))) return
  const temporary = join(dirname(folder), `.artifacts.${randomUUID()}.tmp`)
  try {
    await mkdir(temporary, { recursive: true })
    for (const artifact of artifacts) await unpackOne(artifact, { open, temporary })
    await writeFile(join(temporary, 'manifest.json'), `${JSON.stringify(artifacts.map(manifestEntry), undefined, 2)}\n`)
    await rename(temporary, folder)
  } catch (error) {
    if (!hasCode(error, 'ENOTEMPTY') && !hasCode(error, 'EEXIST')) throw error
  } finally {
    await rm(temporary, { recursive: true, force: true })
  }
}

async function unpackOne(
  { key, type, source, destination }: ArtifactRecord,
  { open, temporary }: { open: (key: string) => Promise<Readable | undefined>; temporary: string },
): Promise<void> {
  const tar = key === undefined ? undefined : await open(key)
  const place = safePath(destination)
  if (tar === undefined) return
  if (place === undefined) {
    tar.destroy()
    return
  }
  const single = type === 'file' ? { from: basename(source), to: basename(place) } : undefined
  try {
    await unpackInto(tar, join(temporary, single ? dirname(place) : place), single)
  } finally {
    tar.destroy()
  }
}

/** Harbor's fields, and why something is not whole. */
function manifestEntry({ source, destination, type, status, reason, bytes }: ArtifactRecord) {
  return { source, destination, type: type ?? null, status, ...(reason ? { reason } : {}), ...(bytes ? { bytes } : {}) }
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

/** @param single the one file that is meant, and what it is to be called */
async function unpackInto(tar: Readable, folder: string, single?: { from: string; to: string }): Promise<void> {
  const entries = extract()
  tar.on('error', (error) => entries.destroy(error))
  tar.pipe(entries)
  try {
    for await (const entry of entries) {
      const named = entry.header.type === 'file' ? safePath(entry.header.name) : undefined
      const inside = single === undefined || named === undefined ? named : named === single.from ? single.to : undefined
      const target = inside === undefined ? undefined : join(folder, inside)
      if (target === undefined || !(await writeEntry(entry, target))) entry.resume()
    }
  } catch (error) {
    if (tar.errored !== null || !isMalformed(error)) throw error
  }
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
