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
/**
 * Files and folders that one artifact may come to: in a tar of a gigabyte there is room for millions, and for a thousand
 * times as many folders as files.
 */
const mostNames = 50_000

/**
 * Unpacks what was collected into `folder`, with Harbor's manifest beside it, all at once by renaming: a crash leaves none
 * of it. The tars come out of a sandbox, so only plain files with paths that stay inside the folder are taken; links and
 * devices are left out. Of one that is cut, no tar at all, or of more names than `mostNames`, what comes before is taken.
 * A folder that is there already has been unpacked before and stays.
 */
export async function unpackArtifacts(
  artifacts: readonly ArtifactRecord[],
  { open, folder, most = mostNames }: { open: OpenTar; folder: string; most?: number },
): Promise<void> {
  if (artifacts.length === 0 || (await hasArtifacts(folder))) return
  const temporary = join(dirname(folder), `.artifacts.${randomUUID()}.tmp`)
  try {
    await mkdir(temporary, { recursive: true })
    for (const artifact of artifacts) await unpackOne(artifact, { open, temporary, most })
    await writeFile(join(temporary, 'manifest.json'), `${JSON.stringify(artifacts.map(manifestEntry), undefined, 2)}\n`)
    await rename(temporary, folder)
  } catch (error) {
    if (!hasCode(error, 'ENOTEMPTY') && !hasCode(error, 'EEXIST')) throw error
  } finally {
    await rm(temporary, { recursive: true, force: true })
  }
}

type OpenTar = (key: string) => Promise<Readable | undefined>

async function unpackOne(
  { key, type, source, destination }: ArtifactRecord,
  { open, temporary, most }: { open: OpenTar; temporary: string; most: number },
): Promise<void> {
  const tar = key === undefined ? undefined : await open(key)
  if (tar === undefined) return
  const place = safePath(destination)
  const single = type === 'file' && place !== undefined ? { from: basename(source), to: basename(place) } : undefined
  try {
    if (place === undefined) return
    const folder = join(temporary, single ? dirname(place) : place)
    await unpackInto(tar, { folder, most, ...(single === undefined ? {} : { single }) })
  } finally {
    tar.destroy()
  }
}

/** Harbor's fields, and why something is not whole. */
function manifestEntry({ source, destination, type, status, reason, bytes }: ArtifactRecord) {
  return { source, destination, type: type ?? null, status, ...(reason ? { reason } : {}), ...(bytes ? { bytes } : {}) }
}

/** Whether artifacts have been unpacked there. */
async function hasArtifacts(folder: string): Promise<boolean> {
  try {
    return (await readdir(folder)).length > 0
  } catch (error) {
    if (hasCode(error, 'ENOENT')) return false
    throw error
  }
}

interface Unpacking {
  readonly folder: string
  readonly most: number
  /** The one file that is meant, and what it is to be called. */
  readonly single?: { readonly from: string; readonly to: string }
}

async function unpackInto(tar: Readable, { folder, most, single }: Unpacking): Promise<void> {
  const entries = extract()
  tar.on('error', (error) => entries.destroy(error))
  tar.pipe(entries)
  const names = new Set<string>()
  try {
    for await (const entry of entries) {
      const named = entry.header.type === 'file' ? safePath(entry.header.name) : undefined
      const inside = single === undefined || named === undefined ? named : named === single.from ? single.to : undefined
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
