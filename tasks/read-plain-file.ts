import { constants } from 'node:fs'
import { open } from 'node:fs/promises'

/**
 * Reads a file, or what a link leads to. Pipes and devices are refused, as `ENOTSUP`: reading one may never end, and
 * holds one of the few threads that read files.
 */
export async function readPlainFile(path: string): Promise<Buffer> {
  // A pipe without a writer is opened at once only like this.
  const file = await open(path, constants.O_RDONLY | constants.O_NONBLOCK)
  try {
    const stat = await file.stat()
    if (stat.isFile() || stat.isDirectory()) return await file.readFile()
    throw Object.assign(new Error(`${path} is a pipe or a device: expected a file`), { code: 'ENOTSUP' })
  } finally {
    await file.close()
  }
}
