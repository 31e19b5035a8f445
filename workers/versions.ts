import { readFile } from 'node:fs/promises'
import { fileURLToPath } from 'node:url'

/** Name and version of what runs, for lock files. */
export async function versions(): Promise<Record<string, string>> {
  return {
    rollcall: await packageVersion(),
    node: process.versions.node,
    platform: `${process.platform}-${process.arch}`,
  }
}

/** The clone has package.json one folder up, the built package two. */
async function packageVersion(): Promise<string> {
  for (const path of ['../package.json', '../../package.json']) {
    const text = await readFile(fileURLToPath(new URL(path, import.meta.url)), 'utf8').catch(() => undefined)
    const parsed: unknown = text === undefined ? undefined : JSON.parse(text)
    if (typeof parsed !== 'object' || parsed === null || !('version' in parsed)) continue
    return String(parsed.version)
  }
  return 'unknown'
}
