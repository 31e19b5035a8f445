import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll } from 'vitest'

const made: string[] = []

// Hooks run in the reverse order, and this one is registered by an import: what tests open in there is closed by then.
afterAll(async () => {
  for (const folder of made.splice(0)) await rm(folder, { recursive: true, force: true })
})

/** For tests: a new, empty folder, which is removed after the last test of the file. */
export async function temporaryFolder(name: string): Promise<string> {
  const folder = await mkdtemp(join(tmpdir(), `rollcall-${name}-`))
  made.push(folder)
  return folder
}
