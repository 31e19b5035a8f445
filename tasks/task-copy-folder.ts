import { join } from 'node:path'

/** Where the cache has the copy of a task; it appears by one rename, so one that exists is whole. */
export function copyFolder(cacheDirectory: string, checksum: string): string {
  return join(cacheDirectory, 'tasks', checksum)
}

/** Of several who rename to the same place one wins, and all have the same. */
export function ignoreTaken(error: unknown): void {
  const code = error instanceof Error && 'code' in error ? error.code : undefined
  if (code !== 'ENOTEMPTY' && code !== 'EEXIST') throw error
}
