import { constants } from 'node:fs'
import { open } from 'node:fs/promises'

/** No text that a person writes is as long. */
const defaultMostBytes = 16 * 1024 ** 2

/**
 * Reads a file that somebody else may have written, or what a link leads to. A pipe would be waited for for ever, in one
 * of the few threads that read files, and a device never ends.
 * @throws Error with the reason as its message, or as `readFile` does
 */
export async function readPlainFile(path: string, mostBytes = defaultMostBytes): Promise<Buffer> {
  // A pipe without a writer is opened at once only like this.
  const file = await open(path, constants.O_RDONLY | constants.O_NONBLOCK)
  try {
    const found = await file.stat()
    if (!found.isFile() && !found.isDirectory()) throw new Error('it is a special file')
    if (found.size > mostBytes) throw new Error(`it has more than ${mostBytes} bytes`)
    return await file.readFile()
  } finally {
    await file.close()
  }
}
