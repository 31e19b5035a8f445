import { chmod, mkdir, mkdtemp, readFile, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { pathToFileURL } from 'node:url'
import { stringify } from 'yaml'
import type { ClientEnvironment } from '../client/index.ts'
import { stopServer } from '../client/server/server.ts'
import { cacheDirectory } from '../protocol/directories.ts'

/** A directory of a test with a state directory, hence an embedded server, of its own. */
export interface DurabilityHome {
  readonly folder: string
  readonly environment: ClientEnvironment
  /** Makes a folder that sandboxes of a job see as /effects: what commands do there can be read by the test. */
  effectsFolder(name: string): Promise<EffectsFolder>
  close(): Promise<void>
}

export interface EffectsFolder {
  readonly path: string
  readonly mount: { readonly source: string; readonly target: string; readonly readOnly: boolean }
  /** The lines of one file, in the order in which they were written; none where there is no file. */
  lines(file: string): Promise<string[]>
}

async function makeEffectsFolder(path: string): Promise<EffectsFolder> {
  for (const folder of [path, join(path, 'begun'), join(path, 'killed')]) {
    await mkdir(folder, { recursive: true })
    await chmod(folder, 0o777)
  }
  const lines = async (file: string) => {
    const text = await readFile(join(path, file), 'utf8').catch(() => '')
    return text.split('\n').filter((line) => line !== '')
  }
  return { path, mount: { source: path, target: '/effects', readOnly: false }, lines }
}

export async function openHome(): Promise<DurabilityHome> {
  const folder = await mkdtemp(join(tmpdir(), 'rollcall-durability-'))
  const { TEMPORAL_ADDRESS: _, ...env } = process.env
  const stateDirectory = join(folder, 'state')
  const environment = {
    env: { ...env, ROLLCALL_STATE_DIR: stateDirectory },
    stateDirectory,
    cacheDirectory: cacheDirectory(env),
    storeUrl: pathToFileURL(join(stateDirectory, 'store')).href,
    workingDirectory: folder,
  }
  const close = async () => {
    await stopServer({ stateDirectory, onProgress: () => {} })
    // The server's files may still be written for a moment.
    await rm(folder, { recursive: true, force: true, maxRetries: 10, retryDelay: 200 })
  }
  const effectsFolder = (name: string) => makeEffectsFolder(join(folder, 'effects', name))
  return { folder, environment, effectsFolder, close }
}

export interface DurabilityTask {
  readonly name: string
  /** Commands of the turns of agent `script`, one for each turn. */
  readonly turns: readonly string[]
  /** The test script. */
  readonly tests: string
}

/** @returns the folder of the tasks */
export async function writeTasks(folder: string, tasks: readonly DurabilityTask[]): Promise<string> {
  for (const { name, turns, tests } of tasks) {
    const task = join(folder, name)
    for (const part of ['solution', 'tests']) await mkdir(join(task, part), { recursive: true })
    const settings = ['schema_version = "1.4"', '[environment]', 'docker_image = "debian:12"']
    await writeFile(join(task, 'task.toml'), [...settings, 'network_mode = "no-network"', ''].join('\n'))
    await writeFile(join(task, 'instruction.md'), 'A task of a test.\n')
    const played = turns.map((command) => ({ calls: [{ tool: 'bash', args: { command } }] }))
    await writeFile(join(task, 'solution/turns.yaml'), stringify({ turns: played }))
    await writeFile(join(task, 'solution/solve.sh'), '#!/bin/bash\ntrue\n')
    await writeFile(join(task, 'tests/test.sh'), `#!/bin/bash\n${tests}\n`)
  }
  return folder
}
