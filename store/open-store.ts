import { fileURLToPath } from 'node:url'
import { RollcallError } from '../protocol/failure.ts'
import { createFileStore } from './file-store.ts'
import { createS3Store } from './s3-store.ts'
import { parseS3Url } from './s3-url.ts'
import type { Store } from './store.ts'

/**
 * Opens the store of a URL. An S3 store takes its credentials from the usual AWS settings of this process.
 * @throws RollcallError `configuration-invalid` for a scheme without a driver, and for an S3 URL that holds credentials
 */
export function openStore(url: string): Store {
  const parsed = URL.canParse(url) ? new URL(url) : undefined
  if (parsed?.protocol === 'file:') return createFileStore(fileURLToPath(parsed))
  if (parsed?.protocol === 's3:') return createS3Store(parseS3Url(parsed))
  throw new RollcallError(
    'configuration-invalid',
    `Store URL ${shown(url)} is not supported: expected file:///absolute/directory or s3://bucket/prefix`,
  )
}

/** An S3 URL that cannot be read may hold a secret. */
function shown(url: string): string {
  return url.startsWith('s3:') ? '"s3:…"' : JSON.stringify(url)
}
