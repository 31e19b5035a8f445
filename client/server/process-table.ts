import { execFile } from 'node:child_process'
import { readdir, readFile } from 'node:fs/promises'
import { promisify } from 'node:util'

const run = promisify(execFile)

/**
 * Whether `pid` is the embedded server of this database. A pid file outlives its process and pids are used again, so
 * a pid alone proves nothing; the command line names the database, which belongs to one server.
 */
export async function isServerProcess(pid: number, databaseFile: string): Promise<boolean> {
  return isServerCommand(await commandLine(pid), databaseFile)
}

/**
 * The pid of the server of this database, whoever started it; undefined when none runs. It finds servers that no
 * record names, because their starter was killed before it could write one.
 */
export async function findServerProcess(databaseFile: string): Promise<number | undefined> {
  for (const pid of await allPids()) {
    if (await isServerProcess(pid, databaseFile)) return pid
  }
  return undefined
}

function isServerCommand(command: string, databaseFile: string): boolean {
  return command.includes(` server start-dev `) && ` ${command} `.includes(` --db-filename ${databaseFile} `)
}

/** Arguments joined by spaces; empty for a process that has ended, also when nobody has waited for it yet. */
async function commandLine(pid: number): Promise<string> {
  try {
    if (process.platform === 'linux') {
      return (await readFile(`/proc/${pid}/cmdline`, 'utf8')).replaceAll('\0', ' ').trim()
    }
    return (await run('ps', ['-ww', '-o', 'args=', '-p', String(pid)])).stdout.trim()
  } catch {
    return ''
  }
}

async function allPids(): Promise<number[]> {
  const names =
    process.platform === 'linux'
      ? await readdir('/proc')
      : (await run('ps', ['-axo', 'pid='])).stdout.split('\n').map((line) => line.trim())
  return names.filter((name) => /^\d+$/.test(name)).map(Number)
}
