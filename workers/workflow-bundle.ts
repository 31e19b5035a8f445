import { createHash, randomUUID } from 'node:crypto'
import { access, mkdir, readdir, readFile, rename, writeFile } from 'node:fs/promises'
import { extname, join } from 'node:path'
import { fileURLToPath } from 'node:url'

/** Folders whose code may run in workflows; everything that the bundle depends on here. */
const sourceFolders = ['workflows', 'protocol']

/**
 * The workflows as one file for `Worker.create`. Bundling takes a second, so the bundle is kept in the cache under a
 * hash of its sources and the SDK's version; published by rename, so that concurrent workers cannot harm each other.
 */
export async function workflowBundlePath(cacheDirectory: string): Promise<string> {
  const folder = join(cacheDirectory, 'bundles')
  const path = join(folder, `${await sourceHash()}.js`)
  if (await exists(path)) return path
  await mkdir(folder, { recursive: true })
  const temporary = `${path}.${randomUUID()}`
  await writeFile(temporary, await bundleWorkflows())
  await rename(temporary, path)
  return path
}

/** The code of the bundle; its test reads it too. */
export async function bundleWorkflows(): Promise<string> {
  const { bundleWorkflowCode } = await import('@temporalio/worker')
  const { code } = await bundleWorkflowCode({
    workflowsPath: fileURLToPath(new URL(`../workflows/index${extname(import.meta.url)}`, import.meta.url)),
    logger: { log() {}, trace() {}, debug() {}, info() {}, warn() {}, error() {} },
  })
  return code
}

async function sourceHash(): Promise<string> {
  const hash = createHash('sha256')
  const sdk = await readFile(fileURLToPath(import.meta.resolve('@temporalio/worker/package.json')), 'utf8')
  hash.update(sdk)
  for (const folder of sourceFolders) {
    const directory = fileURLToPath(new URL(`../${folder}`, import.meta.url))
    for (const name of (await readdir(directory)).toSorted()) {
      if (/(?<!\.test)\.(ts|js)$/.test(name)) hash.update(name).update(await readFile(join(directory, name)))
    }
  }
  return hash.digest('hex').slice(0, 32)
}

async function exists(path: string): Promise<boolean> {
  try {
    await access(path)
    return true
  } catch {
    return false
  }
}
