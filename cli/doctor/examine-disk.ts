import { statfs } from 'node:fs/promises'
import { dirname } from 'node:path'
import { fileURLToPath } from 'node:url'
import { openStore } from '../../store/open-store.ts'
import { proveWritableFolder } from '../../store/writable-folder.ts'
import type { ClientEnvironment } from '../../client/index.ts'
import { reasonOf } from './findings.ts'
import type { Finding } from './findings.ts'

/** Below this, outputs and images soon fill the disk. */
const lowBytes = 2 * 2 ** 30
/** Below this they already do. */
const fullBytes = 100 * 2 ** 20

const s3Remedy = 'see "The store" in docs/operations.md for URL, credentials and permissions'

export async function examineStore({ storeUrl }: ClientEnvironment): Promise<Finding[]> {
  const name = 'Store'
  try {
    await openStore(storeUrl).get('doctor/probe')
    if (storeUrl.startsWith('file:')) await proveWritableFolder('ROLLCALL_STORE', fileURLToPath(storeUrl))
    return [{ name, state: 'ok', detail: storeUrl }]
  } catch (error) {
    // What is said about an S3 store names its URL, unless that holds a secret.
    if (storeUrl.startsWith('s3:')) return [{ name, state: 'missing', detail: reasonOf(error), remedy: s3Remedy }]
    const remedy = 'make it writable for this user, or set ROLLCALL_STORE to a file:// URL that is'
    return [{ name, state: 'missing', detail: `${storeUrl} cannot be used: ${reasonOf(error)}`, remedy }]
  }
}

export async function examineDisk({ stateDirectory }: ClientEnvironment): Promise<Finding[]> {
  const { bavail, bsize } = await statfs(await existingFolder(stateDirectory))
  return [diskFinding(bavail * bsize, stateDirectory)]
}

/** Exported for its test. */
export function diskFinding(freeBytes: number, stateDirectory: string): Finding {
  const detail = `${(freeBytes / 2 ** 30).toFixed(1)} GiB free for ${stateDirectory}`
  if (freeBytes >= lowBytes) return { name: 'Disk', state: 'ok', detail }
  const remedy = 'free some space, or set ROLLCALL_STATE_DIR to a folder on a larger disk'
  return { name: 'Disk', state: freeBytes < fullBytes ? 'missing' : 'note', detail, remedy }
}

async function existingFolder(folder: string): Promise<string> {
  const found = await statfs(folder).then(
    () => true,
    () => false,
  )
  return found || dirname(folder) === folder ? folder : existingFolder(dirname(folder))
}
