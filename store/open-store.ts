import { fileURLToPath } from 'node:url'
import { RollcallError } from '../protocol/failure.ts'
import { createFileStore } from './file-store.ts'
import type { Store } from './store.ts'

/** Opens the store of a URL. @throws RollcallError `configuration-invalid` for a scheme without a driver. */
export function openStore(url: string): Store {
  const parsed = URL.canParse(url) ? new URL(url) : undefined
  if (parsed?.protocol === 'file:') return createFileStore(fileURLToPath(parsed))
  throw new RollcallError(
    'configuration-invalid',
    `Store URL ${JSON.stringify(url)} is not supported: expected file:///absolute/directory`,
  )
}
