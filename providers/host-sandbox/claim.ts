import { randomUUID } from 'node:crypto'
import { mkdir, rename, rm, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import type { HostSystem } from './host-system.ts'
import { pathsOf } from './paths.ts'
import { prepareRoot } from './prepare-root.ts'
import { errorCode, type SandboxRecord } from './record.ts'

/** Beginning of the names of directories that are being made or removed; no sandbox's name begins with a dot. */
export const temporaryPrefixes = { making: '.making-', removing: '.removing-' } as const

export interface Claim {
  /** Directory of all sandboxes. */
  readonly home: string
  readonly record: SandboxRecord
  readonly host: HostSystem
  /** Puts the task's files into `/`. */
  readonly fill: (root: string) => Promise<void>
}

/**
 * Makes the directory of a sandbox, complete, and gives it its name in one step: rename onto a directory that has
 * something in it fails. So a name is never taken without its owner being on record, and a worker that dies here leaves
 * nothing but a directory without a name.
 */
export async function claim(order: Claim): Promise<'claimed' | 'taken'> {
  const { directory } = pathsOf(join(order.home, `${temporaryPrefixes.making}${randomUUID()}`))
  try {
    await layOut(directory, order)
    return await giveName(directory, join(order.home, order.record.name))
  } finally {
    await rm(directory, { recursive: true, force: true })
  }
}

/** Makes the directory of a sandbox that has no name yet. */
export async function layOut(directory: string, { record, host, fill }: Omit<Claim, 'home'>): Promise<void> {
  const paths = pathsOf(directory)
  await mkdir(directory, { recursive: true, mode: 0o700 })
  for (const part of [paths.root, paths.output, paths.channels]) await mkdir(part, { mode: 0o755 })
  await prepareRoot(paths.root, record.name, host)
  await fill(paths.root)
  await writeFile(paths.record, `${JSON.stringify(record)}\n`, { mode: 0o600 })
}

async function giveName(from: string, to: string): Promise<'claimed' | 'taken'> {
  try {
    await rename(from, to)
    return 'claimed'
  } catch (error) {
    if (errorCode(error) === 'ENOTEMPTY' || errorCode(error) === 'EEXIST') return 'taken'
    throw error
  }
}
