import { lstat, readdir } from 'node:fs/promises'
import { join } from 'node:path'
import { systemFolders } from '../contract/provider.ts'
import type { SystemPicture } from '../contract/provider.ts'

/** An agent can make millions. */
const mostPaths = 5_000

/**
 * The system folders below a sandbox's root, with the kernel's change times, which nobody inside can set. The host's own
 * folders are mounted over them inside, read-only, and are not seen here. Links are not followed.
 */
export async function systemPicture(root: string): Promise<SystemPicture> {
  const paths: [path: string, mark: string][] = []
  const waiting: string[] = [...systemFolders]
  for (let path = waiting.pop(); path !== undefined; path = waiting.pop()) {
    if (paths.length >= mostPaths) return { paths, isCut: true }
    const found = await lstat(join(root, path), { bigint: true }).catch(() => undefined)
    if (found === undefined) continue
    paths.push([path, `${found.ino} ${found.ctimeNs}`])
    if (!found.isDirectory()) continue
    const names = await readdir(join(root, path)).catch(() => [])
    if (names.length + paths.length > mostPaths) return { paths, isCut: true }
    waiting.push(...names.map((name) => `${path}/${name}`))
  }
  return { paths, isCut: false }
}
