import { chown, mkdtemp, readdir, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { execa } from 'execa'
import { freePort } from '../client/server/ports.ts'
import { exists, installPackages } from './debian.ts'

const programsFolder = '/usr/lib/postgresql'
const startWithinMs = 60_000
const pollMs = 100

export interface Postgres {
  readonly port: number
  /** Ends the database and removes its files. */
  stop(): Promise<void>
}

/** Installs Debian's PostgreSQL when it is missing and this is root on Debian. */
export async function ensurePostgresInstalled(onProgress: (line: string) => void): Promise<void> {
  if ((await exists(programsFolder)) && (await readdir(programsFolder)).length > 0) return
  await installPackages(['postgresql'], onProgress)
}

/**
 * A database cluster of its own on a free loopback port, in a temporary folder. PostgreSQL refuses to run as root; then
 * it runs as the user `postgres` that Debian's package makes.
 */
export async function startPostgres(options: {
  user: string
  password: string
  serverArguments: readonly string[]
}): Promise<Postgres> {
  const folder = await mkdtemp(join(tmpdir(), 'rollcall-postgres-'))
  const asUser = process.getuid?.() === 0 ? ['setpriv', '--reuid=postgres', '--regid=postgres', '--init-groups'] : []
  if (asUser.length > 0) await giveToPostgres(folder)
  const program = await programPath()
  const passwordFile = join(folder, 'password')
  await writeFile(passwordFile, options.password, { mode: 0o644 })
  const data = join(folder, 'data')
  const authentication = ['--auth=scram-sha-256', `--username=${options.user}`, `--pwfile=${passwordFile}`]
  await runAs(asUser, [program('initdb'), '-D', data, '-E', 'UTF8', ...authentication], folder)
  const port = await freePort()
  const listen = ['-h', '127.0.0.1', '-p', String(port), '-k', '']
  const [command = '', ...args] = [...asUser, program('postgres'), '-D', data, ...listen, ...options.serverArguments]
  const server = execa(command, args, { cwd: folder, reject: false, stdio: ['ignore', 'ignore', 'pipe'] })
  const stop = async () => {
    server.kill('SIGINT')
    await server
    await rm(folder, { recursive: true, force: true })
  }
  const ready = [program('pg_isready'), '-h', '127.0.0.1', '-p', String(port)]
  await waitUntil(ready).catch(async (error: unknown) => {
    await stop()
    throw error
  })
  return { port, stop }
}

async function programPath(): Promise<(name: string) => string> {
  const versions = (await readdir(programsFolder)).toSorted((a, b) => Number(a) - Number(b))
  return (name) => join(programsFolder, versions.at(-1) ?? '', 'bin', name)
}

async function giveToPostgres(folder: string): Promise<void> {
  const [uid, gid] = await Promise.all(['-u', '-g'].map(async (flag) => (await execa('id', [flag, 'postgres'])).stdout))
  await chown(folder, Number(uid), Number(gid))
}

async function runAs(asUser: readonly string[], command: readonly string[], cwd: string): Promise<void> {
  const [program = '', ...args] = [...asUser, ...command]
  await execa(program, args, { cwd })
}

async function waitUntil([program = '', ...args]: readonly string[]): Promise<void> {
  const deadline = Date.now() + startWithinMs
  while ((await execa(program, args, { reject: false })).failed) {
    if (Date.now() > deadline) throw new Error(`PostgreSQL does not answer within ${startWithinMs / 1000} s`)
    await sleep(pollMs)
  }
}
