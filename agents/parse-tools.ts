import { resolve } from 'node:path'
import type { ToolModule } from '../protocol/job.ts'
import { bundleKey } from '../store/keys.ts'

export interface ParsedTools {
  readonly module: ToolModule
  /** To be put into the store by the client. */
  readonly bundle?: { readonly key: string; readonly bytes: Buffer }
}

/**
 * Bundles a file that exports tools; workers find out which. One that was bundled before is taken as it is.
 * @throws RollcallError `configuration-invalid` when it cannot be bundled: native modules are refused by name
 */
export async function parseTools(file: string | ToolModule, directory: string): Promise<ParsedTools> {
  if (typeof file !== 'string') return { module: file }
  const { bundleModule } = await import('./bundle-module.ts')
  const kind = { code: 'configuration-invalid', noun: 'Tools', option: '--tools' } as const
  const { bytes, hash } = await bundleModule(resolve(directory, file), kind)
  const key = bundleKey(hash)
  return { module: { key, source: file }, bundle: { key, bytes } }
}
