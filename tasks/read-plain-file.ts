import { readFile, stat } from 'node:fs/promises'

/** No text that a person writes is as long. */
const defaultMostBytes = 16 * 1024 ** 2

/**
 * Reads a file that somebody else may have written: a pipe would be waited for for ever, and a device never ends.
 * @throws Error with the reason as its message, or as `readFile` does
 */
export async function readPlainFile(path: string, mostBytes = defaultMostBytes): Promise<Buffer> {
  const found = await stat(path)
  if (!found.isFile() && !found.isDirectory()) throw new Error('it is a special file')
  if (found.size > mostBytes) throw new Error(`it has more than ${mostBytes} bytes`)
  return await readFile(path)
}
