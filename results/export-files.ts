import { randomUUID } from 'node:crypto'
import { createWriteStream } from 'node:fs'
import { link, mkdir, readdir, readFile, rename, rm, stat, writeFile } from 'node:fs/promises'
import { basename, dirname, join } from 'node:path'
import { pipeline } from 'node:stream/promises'
import { RollcallError } from '../protocol/failure.ts'
import type { Store } from '../store/store.ts'

/** Writes a whole file or none of it, replacing what is there. @throws RollcallError when it cannot be written */
export async function replaceFile(path: string, text: string): Promise<void> {
  await writing(path, () => viaTemporary(path, (temporary) => writeFile(temporary, text, { flush: true })))
}

/** What the place says that somebody has asked to be written to, and no bug: full, not allowed, not a folder. */
const placeRefusals = [
  'ENOSPC',
  'EDQUOT',
  'EACCES',
  'EPERM',
  'EROFS',
  'ENOTDIR',
  'EEXIST',
  'EISDIR',
  'EIO',
  'ENAMETOOLONG',
]

/** @throws RollcallError `configuration-invalid` when the place does not take what `work` writes */
export async function writing<Result>(path: string, work: () => Promise<Result>): Promise<Result> {
  try {
    return await work()
  } catch (error) {
    if (!(error instanceof Error) || !placeRefusals.some((code) => hasCode(error, code))) throw error
    const expected = 'expected a place with room that may be written to'
    throw new RollcallError('configuration-invalid', `Writing ${path} failed: ${error.message}; ${expected}`, {
      cause: error,
    })
  }
}

/** The file's text, or undefined where there is none. */
export async function readTextFile(path: string): Promise<string | undefined> {
  try {
    return await readFile(path, 'utf8')
  } catch (error) {
    if (hasCode(error, 'ENOENT')) return undefined
    throw error
  }
}

/**
 * Puts an object of the store at `path`: by hard link where both are on one file system, else as a copy. Whatever else
 * is at `path` is replaced.
 * @returns false when the store has no such object
 */
export async function exportObject(store: Store, key: string, path: string): Promise<boolean> {
  const source = store.localPath?.(key)
  if (source !== undefined && (await linkFile(source, path))) return true
  const stream = await store.open(key)
  if (!stream) return false
  await viaTemporary(path, (temporary) => pipeline(stream, createWriteStream(temporary, { flags: 'wx', flush: true })))
  return true
}

/** @returns false when no link can be made: another file system, no right, or nothing there. */
async function linkFile(source: string, path: string): Promise<boolean> {
  try {
    await mkdir(dirname(path), { recursive: true })
    await link(source, path)
    return true
  } catch (error) {
    if (!hasCode(error, 'EEXIST')) return cannotLink(error)
  }
  if (await isSameFile(source, path)) return true
  try {
    await viaTemporary(path, (temporary) => link(source, temporary))
    return true
  } catch (error) {
    return cannotLink(error)
  }
}

const linkRefusals = ['EXDEV', 'EPERM', 'EACCES', 'EMLINK', 'ENOTSUP', 'EOPNOTSUPP', 'ENOSYS', 'ENOENT']

function cannotLink(error: unknown): false {
  if (linkRefusals.some((code) => hasCode(error, code))) return false
  throw error
}

async function isSameFile(left: string, right: string): Promise<boolean> {
  const [a, b] = await Promise.all([stat(left), stat(right)])
  return a.ino === b.ino && a.dev === b.dev
}

async function viaTemporary(path: string, write: (temporary: string) => Promise<void>): Promise<void> {
  await mkdir(dirname(path), { recursive: true })
  const temporary = join(dirname(path), `.${basename(path)}.${randomUUID()}.tmp`)
  try {
    await write(temporary)
    await rename(temporary, path)
  } finally {
    await rm(temporary, { force: true })
  }
}

/** No export writes one file for as long. */
const staleMs = 3_600_000

/** Removes the temporary files below a folder that an export has left which was killed; young ones may be in use. */
export async function removeStaleFiles(folder: string, nowMs = Date.now()): Promise<void> {
  const entries = await readdir(folder, { recursive: true, withFileTypes: true }).catch((error: unknown) => {
    if (hasCode(error, 'ENOENT')) return []
    throw error
  })
  for (const { name, parentPath } of entries) {
    if (!/^\..+\.tmp$/.test(name)) continue
    const path = join(parentPath, name)
    const found = await stat(path).catch(() => undefined)
    if (found !== undefined && nowMs - found.mtimeMs > staleMs) await rm(path, { recursive: true, force: true })
  }
}

export function hasCode(error: unknown, code: string): boolean {
  return error instanceof Error && 'code' in error && error.code === code
}
