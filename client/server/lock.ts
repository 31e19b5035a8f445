import { mkdir } from 'node:fs/promises'
import { dirname } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { lock } from 'proper-lockfile'
import { RollcallError } from '../../protocol/failure.ts'

const retryEveryMs = 50

/** A lock whose holder was killed is free again after this time. */
const staleAfterMs = 8_000

/**
 * Does `work` while no other process of this machine does work under the same path. `onWait` is called once when
 * somebody else has the lock. Throws `configuration-invalid` when the lock is not free within `waitMs`.
 */
export async function withLock<T>(
  options: { path: string; waitMs: number; onWait: () => void },
  work: () => Promise<T>,
): Promise<T> {
  await mkdir(dirname(options.path), { recursive: true })
  const release = await acquire(options)
  try {
    return await work()
  } finally {
    // A lock that was taken over while this process was suspended is not ours to release.
    await release().catch(() => undefined)
  }
}

async function acquire(options: { path: string; waitMs: number; onWait: () => void }): Promise<() => Promise<void>> {
  const deadline = Date.now() + options.waitMs
  for (let attempt = 0; ; attempt += 1) {
    const release = await tryLock(options.path)
    if (release) return release
    if (attempt === 0) options.onWait()
    if (Date.now() > deadline) {
      throw new RollcallError(
        'configuration-invalid',
        `Another process has held ${options.path} for ${options.waitMs / 1000} s: end it, then try again.`,
      )
    }
    await sleep(retryEveryMs)
  }
}

async function tryLock(path: string): Promise<(() => Promise<void>) | undefined> {
  try {
    // Being taken over after a suspension is no reason to crash: what is done under these locks is safe to do twice.
    return await lock(path, {
      lockfilePath: path,
      realpath: false,
      stale: staleAfterMs,
      onCompromised: () => undefined,
    })
  } catch (error) {
    if (error instanceof Error && 'code' in error && error.code === 'ELOCKED') return undefined
    throw error
  }
}
