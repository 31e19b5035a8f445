import { cp, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { stringify } from 'yaml'

/** Label of the images that a run builds, by which it finds them again. */
export const imageLabel = 'rollcall.bench'

const example = join(import.meta.dirname, '..', 'examples', 'tasks', 'hello')

export interface BenchTasks {
  /** The example `hello`: oracle writes one line into a file, the test compares it. No network. */
  readonly trivial: string
  /** The same, with the network that Harbor gives to tasks that state none. */
  readonly trivialWithNetwork: string
}

/** @param imageMark value of the label that images built for these tasks carry */
export async function writeTasks(folder: string, imageMark: string): Promise<BenchTasks> {
  const tasks = { trivial: join(folder, 'trivial'), trivialWithNetwork: join(folder, 'trivial-network') }
  for (const [path, network] of [
    [tasks.trivial, 'no-network'],
    [tasks.trivialWithNetwork, 'public'],
  ] as const) {
    await cp(example, path, { recursive: true })
    await writeFile(
      join(path, 'environment', 'Dockerfile'),
      `FROM debian:bookworm-slim\nLABEL ${imageLabel}="${imageMark}"\nWORKDIR /app\n`,
    )
    await writeFile(
      join(path, 'task.toml'),
      `schema_version = "1.4"\n[agent]\ntimeout_sec = 600\n[verifier]\ntimeout_sec = 60\n` +
        `[environment]\nnetwork_mode = "${network}"\n`,
    )
  }
  return tasks
}

/** Writes turns for the agent `script`: so many, of one call each, as a fast model would make them. @returns the file */
export async function writeOneCallTurns(folder: string, count: number): Promise<string> {
  const turn = { calls: [{ tool: 'bash', args: { command: 'echo hi' } }] }
  const path = join(folder, `${count}-turns.yaml`)
  const turns = Array.from({ length: count }, () => turn)
  await writeFile(path, stringify({ turns }, { aliasDuplicateObjects: false }))
  return path
}
