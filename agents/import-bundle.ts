import { createHash, randomUUID } from 'node:crypto'
import { mkdir, rename, writeFile } from 'node:fs/promises'
import { dirname, join } from 'node:path'
import { pathToFileURL } from 'node:url'
import { bundleKey } from '../store/keys.ts'

/**
 * The exports of a bundle, which is kept in the cache directory: node imports files.
 * @throws Error when the bytes are not those that the key names, or the module throws
 */
export async function importBundle(
  { key, bytes }: { key: string; bytes: Buffer },
  cacheDirectory: string,
): Promise<Record<string, unknown>> {
  const hash = createHash('sha256').update(bytes).digest('hex')
  if (bundleKey(hash) !== key) throw new Error(`it has another content than ${key} names`)
  const path = join(cacheDirectory, key)
  await writeWhole(path, bytes)
  try {
    return (await import(pathToFileURL(path).href)) as Record<string, unknown>
  } catch (error) {
    throw new Error(`it throws: ${error instanceof Error ? error.message : String(error)}`, { cause: error })
  }
}

/** By rename, so that another worker never imports half a file. */
async function writeWhole(path: string, bytes: Buffer): Promise<void> {
  await mkdir(dirname(path), { recursive: true })
  const temporary = `${path}.${randomUUID()}`
  await writeFile(temporary, bytes)
  await rename(temporary, path)
}
