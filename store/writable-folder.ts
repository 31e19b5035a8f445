import { mkdir, mkdtemp, rmdir } from 'node:fs/promises'
import { dirname, join } from 'node:path'
import { RollcallError } from '../protocol/failure.ts'

/**
 * Makes a folder, with its parents, and proves that something can be made in it: permission bits do not tell about
 * read-only and full file systems. Safe to run twice.
 * @param setting what the user sets it with, for the message
 * @throws RollcallError `configuration-invalid`
 */
export async function proveWritableFolder(setting: string, folder: string): Promise<void> {
  try {
    await makeFolder(folder)
    await rmdir(await mkdtemp(join(folder, '.probe-')))
  } catch (error) {
    const reason = error instanceof Error ? error.message : String(error)
    throw new RollcallError(
      'configuration-invalid',
      `${setting} is ${JSON.stringify(folder)}, which cannot be written (${reason}): name a folder that this user can write`,
    )
  }
}

/** One step at a time: Node's own recursive mkdir never returns below /proc. */
async function makeFolder(folder: string): Promise<void> {
  const error = await tryMake(folder)
  if (error === undefined) return
  if (codeOf(error) !== 'ENOENT' || dirname(folder) === folder) throw error
  await makeFolder(dirname(folder))
  const again = await tryMake(folder)
  if (again !== undefined) throw again
}

async function tryMake(folder: string): Promise<unknown> {
  try {
    await mkdir(folder)
    return undefined
  } catch (error) {
    return codeOf(error) === 'EEXIST' ? undefined : error
  }
}

function codeOf(error: unknown): unknown {
  return error instanceof Error && 'code' in error ? error.code : undefined
}
