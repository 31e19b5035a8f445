import { lstat, writeFile } from 'node:fs/promises'
import { RollcallError } from '../protocol/failure.ts'
import { hasCode, replaceFile } from '../results/export-files.ts'

/**
 * Writes a file that a person has named: whole or not at all. Devices, pipes and links (`/dev/stdout`) are written into,
 * since to replace them would take them from everybody else.
 * @throws RollcallError `configuration-invalid` for what cannot be written
 */
export async function writeOutput(option: string, path: string, text: string): Promise<void> {
  try {
    await ((await isReplaceable(path)) ? replaceFile(path, text) : writeFile(path, text))
  } catch (error) {
    if (!(error instanceof Error)) throw error
    throw new RollcallError(
      'configuration-invalid',
      `${option} is ${JSON.stringify(path)}: expected a file that can be written: ${error.message}`,
    )
  }
}

async function isReplaceable(path: string): Promise<boolean> {
  try {
    return (await lstat(path)).isFile()
  } catch (error) {
    if (hasCode(error, 'ENOENT')) return true
    throw error
  }
}
