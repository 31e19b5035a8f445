import { randomUUID } from 'node:crypto'
import { rename, writeFile } from 'node:fs/promises'

/** Readers see all of the file or none of it, also when several write it at the same time. */
export async function writeWhole(path: string, text: string): Promise<void> {
  const temporary = `${path}-${randomUUID()}`
  await writeFile(temporary, text, { mode: 0o600 })
  await rename(temporary, path)
}
