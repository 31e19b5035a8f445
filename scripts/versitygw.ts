import { mkdir, mkdtemp, rename, rm } from 'node:fs/promises'
import { dirname, join } from 'node:path'
import { goInstall } from '../client/server/build.ts'
import { withLock } from '../client/server/lock.ts'
import { exists } from './debian.ts'

const version = '1.8.0'
const module = `github.com/versity/versitygw/cmd/versitygw@v${version}`
const buildWaitMs = 20 * 60_000

/** Where `ensureVersitygw` puts the program. */
export function versitygwPath(cacheDirectory: string): string {
  return join(cacheDirectory, 'versitygw', version, 'versitygw')
}

/**
 * The S3-compatible server that the tests of the S3 store talk to, built from its Go module once per version: two
 * minutes on two cores. Safe to call from several processes at once. Throws an Error with the reason.
 */
export async function ensureVersitygw(options: {
  cacheDirectory: string
  onProgress: (line: string) => void
}): Promise<void> {
  const target = versitygwPath(options.cacheDirectory)
  const onWait = () => options.onProgress('another process is building versitygw, waiting for it')
  await withLock({ path: `${dirname(target)}.lock`, waitMs: buildWaitMs, onWait }, async () => {
    if (!(await exists(target))) await build(target, options.onProgress)
  })
}

async function build(target: string, onProgress: (line: string) => void): Promise<void> {
  onProgress(`building ${module}, about two minutes`)
  await mkdir(dirname(target), { recursive: true })
  const folder = await mkdtemp(join(dirname(target), '.build-'))
  try {
    await goInstall({ module, folder, env: process.env, onProgress })
    await rename(join(folder, 'versitygw'), target)
  } finally {
    await rm(folder, { recursive: true, force: true })
  }
}
