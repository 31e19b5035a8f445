import { mkdir, readFile, rename, writeFile } from 'node:fs/promises'
import { dirname, resolve } from 'node:path'
import { z } from 'zod'

const recordSchema = z.object({
  pid: z.int().positive(),
  binary: z.string(),
  serverVersion: z.string(),
  databaseFile: z.string(),
  logFile: z.string(),
  address: z.string(),
  uiUrl: z.string(),
  startedAt: z.string(),
  /** Somebody asked for its end; a server that died has none. */
  stoppedAt: z.string().optional(),
})

/** What is known about the server that was started last; its process may have ended since. */
export type ServerRecord = z.infer<typeof recordSchema>

/** Where the embedded server keeps its things: absolute, since the server has another working directory. */
export const serverPaths = {
  record: (stateDirectory: string) => resolve(stateDirectory, 'server', 'current.json'),
  lock: (stateDirectory: string) => resolve(stateDirectory, 'server', 'lock'),
  /** One folder per server version: a database file does not survive an upgrade of the server. */
  version: (stateDirectory: string, serverVersion: string) => resolve(stateDirectory, 'server', serverVersion),
}

/** Undefined when no server has been started in this state directory, or the file is damaged. */
export async function readServerRecord(stateDirectory: string): Promise<ServerRecord | undefined> {
  try {
    return recordSchema.parse(JSON.parse(await readFile(serverPaths.record(stateDirectory), 'utf8')))
  } catch {
    return undefined
  }
}

/** Replaces the record at once, so that no reader sees half of it. Call it under the server's lock. */
export async function writeServerRecord(stateDirectory: string, record: ServerRecord): Promise<void> {
  const file = serverPaths.record(stateDirectory)
  await mkdir(dirname(file), { recursive: true })
  await writeFile(`${file}.new`, `${JSON.stringify(record, undefined, 2)}\n`)
  await rename(`${file}.new`, file)
}
