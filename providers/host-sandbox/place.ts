import { randomUUID } from 'node:crypto'
import { link, mkdir, readFile, rm, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { errorCode, readIfThere } from './record.ts'

/**
 * The random id of this place, made once and kept in its directory. Of several processes that make it at the same time
 * one wins, and all answer the same.
 */
export async function readOrMakePlace(home: string): Promise<string> {
  const path = join(home, '.place')
  const kept = await readIfThere(path)
  if (kept !== undefined) return kept
  await mkdir(home, { recursive: true, mode: 0o700 })
  const temporary = join(home, `.place-${randomUUID()}`)
  try {
    await writeFile(temporary, randomUUID())
    await link(temporary, path)
  } catch (error) {
    if (errorCode(error) !== 'EEXIST') throw error
  } finally {
    await rm(temporary, { force: true })
  }
  return await readFile(path, 'utf8')
}
