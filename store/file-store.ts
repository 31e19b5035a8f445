import { randomUUID } from 'node:crypto'
import { createReadStream } from 'node:fs'
import { link, mkdir, open, readdir, readFile, unlink } from 'node:fs/promises'
import type { FileHandle } from 'node:fs/promises'
import { dirname, join } from 'node:path'
import { Readable } from 'node:stream'
import { pipeline } from 'node:stream/promises'
import { pathToFileURL } from 'node:url'
import { RollcallError } from '../protocol/failure.ts'
import { assertStoreKey } from './store.ts'
import type { Store } from './store.ts'

/** Unfinished writes live here, on the same file system as the objects, so that `link` can publish them. */
const temporaryFolder = '.writing'

/**
 * A store in a directory, which may be shared between hosts by any file system with hard links. An object is written
 * to a temporary file, synced, and published with link(2), which fails when the name is taken: rename would overwrite.
 */
export function createFileStore(root: string): Store {
  const pathOf = (key: string): string => {
    assertStoreKey(key)
    return join(root, key)
  }
  return {
    url: pathToFileURL(root).href,
    localPath: pathOf,
    putOnce: (key, bytes) => unavailableOnError(key, () => putOnce({ root, path: pathOf(key), bytes })),
    get: (key) => unavailableOnError(key, () => absentAsUndefined(readFile(pathOf(key)))),
    open: (key) => unavailableOnError(key, () => absentAsUndefined(openStream(pathOf(key)))),
    list: (prefix) => unavailableOnError(prefix, () => listKeys(root, prefix)),
  }
}

async function putOnce(object: {
  root: string
  path: string
  bytes: Uint8Array | Readable
}): Promise<'stored' | 'exists'> {
  const { root, path, bytes } = object
  const temporary = join(root, temporaryFolder, randomUUID())
  try {
    await write(await inFolder(temporary, () => open(temporary, 'wx', 0o600)), bytes)
    await inFolder(path, () => link(temporary, path))
    return 'stored'
  } catch (error) {
    if (codeOf(error) === 'EEXIST') return 'exists'
    throw error
  } finally {
    await absentAsUndefined(unlink(temporary))
  }
}

/** Folders are made when one turns out to be missing: every turn of every rollout writes, and nearly always it is there. */
async function inFolder<T>(path: string, work: () => Promise<T>): Promise<T> {
  try {
    return await work()
  } catch (error) {
    if (codeOf(error) !== 'ENOENT') throw error
    await mkdir(dirname(path), { recursive: true })
    return await work()
  }
}

/** Writes everything, waits until it is on disk, and closes the file. */
async function write(file: FileHandle, bytes: Uint8Array | Readable): Promise<void> {
  if (bytes instanceof Readable) return pipeline(bytes, file.createWriteStream({ flush: true }))
  try {
    await file.writeFile(bytes)
    await file.sync()
  } finally {
    await file.close()
  }
}

async function openStream(path: string): Promise<Readable> {
  const file = await open(path, 'r')
  return createReadStream(path, { fd: file })
}

async function listKeys(root: string, prefix: string): Promise<string[]> {
  const folder = prefix.slice(0, prefix.lastIndexOf('/') + 1)
  const entries = await absentAsUndefined(readdir(join(root, folder), { recursive: true, withFileTypes: true }))
  const keys = (entries ?? [])
    .filter((entry) => entry.isFile())
    .map((entry) => join(entry.parentPath, entry.name).slice(root.length).replace(/^\/+/, ''))
  return keys.filter((key) => key.startsWith(prefix) && !key.startsWith(`${temporaryFolder}/`)).toSorted()
}

async function absentAsUndefined<T>(pending: Promise<T>): Promise<T | undefined> {
  try {
    return await pending
  } catch (error) {
    if (codeOf(error) === 'ENOENT' || codeOf(error) === 'ENOTDIR') return undefined
    throw error
  }
}

async function unavailableOnError<T>(key: string, work: () => Promise<T>): Promise<T> {
  try {
    return await work()
  } catch (error) {
    if (error instanceof RollcallError) throw error
    const reason = error instanceof Error ? error.message : String(error)
    throw new RollcallError('store-unavailable', `The store failed at ${key}: ${reason}`, { cause: error })
  }
}

function codeOf(error: unknown): unknown {
  return error instanceof Error && 'code' in error ? error.code : undefined
}
