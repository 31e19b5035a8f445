import { execFile, spawn } from 'node:child_process'
import type { ChildProcess } from 'node:child_process'
import { once } from 'node:events'
import { mkdir, readFile, writeFile } from 'node:fs/promises'
import { connect, createServer } from 'node:net'
import { userInfo } from 'node:os'
import { join } from 'node:path'
import { setTimeout as delay } from 'node:timers/promises'
import { promisify } from 'node:util'
import type { SshTarget } from './ssh-target.ts'

const run = promisify(execFile)

/** A real sshd on loopback, with a host key and a user key of its own, for the user of the tests. */
export interface Sshd {
  readonly target: SshTarget
  readonly folder: string
  /** `SHA256:…` of its host key. */
  readonly fingerprint: string
  /** Its processes: the listener and one or two for each connection. */
  sessions(): Promise<number[]>
  /** The listener ends; connections go on until they are killed, too. */
  stop(): Promise<void>
  start(): Promise<void>
}

/** @param options lines of sshd_config(5) that go before the usual ones */
export async function startSshd(folder: string, options: readonly string[] = []): Promise<Sshd> {
  const port = await freePort()
  await makeKeys(folder)
  const config = join(folder, 'sshd_config')
  await writeFile(config, [...options, ...settings(folder, port)].join('\n'))
  let child: ChildProcess | undefined
  const start = async (): Promise<void> => {
    child = spawn('/usr/sbin/sshd', ['-D', '-e', '-f', config], { stdio: 'ignore' })
    await untilListening(port, child)
  }
  const stop = async (): Promise<void> => {
    if (child === undefined || child.exitCode !== null) return
    child.kill('SIGKILL')
    await once(child, 'exit')
    child = undefined
  }
  await start()
  const privateKey = await readFile(join(folder, 'user_key'), 'utf8')
  const { stdout } = await run('ssh-keygen', ['-l', '-f', join(folder, 'host_key.pub')])
  const fingerprint = stdout.split(' ')[1] ?? ''
  const target: SshTarget = {
    host: '127.0.0.1',
    port,
    user: userInfo().username,
    credential: { type: 'key', privateKey },
    hostKey: { type: 'fingerprint', fingerprint },
  }
  return { target, folder, fingerprint, start, stop, sessions: () => connectionsOf(port) }
}

function settings(folder: string, port: number): string[] {
  return [
    `Port ${port}`,
    'ListenAddress 127.0.0.1',
    `HostKey ${join(folder, 'host_key')}`,
    `AuthorizedKeysFile ${join(folder, 'user_key.pub')}`,
    `PidFile ${join(folder, 'sshd.pid')}`,
    // bash reads ~/.bashrc for every command of sshd: on some machines that alone takes a tenth of a second.
    `SetEnv HOME=${folder}`,
    'PermitRootLogin yes',
    'StrictModes no',
    'UsePAM no',
    'PrintMotd no',
    'PrintLastLog no',
    '',
  ]
}

async function makeKeys(folder: string): Promise<void> {
  // Where sshd goes for the time before somebody is known: it ends at once where there is none.
  await mkdir('/run/sshd', { recursive: true, mode: 0o755 })
  for (const name of ['host_key', 'user_key']) {
    await run('ssh-keygen', ['-q', '-t', 'ed25519', '-N', '', '-f', join(folder, name)])
  }
}

async function freePort(): Promise<number> {
  const server = createServer().listen(0, '127.0.0.1')
  await once(server, 'listening')
  const address = server.address()
  server.close()
  await once(server, 'close')
  if (address === null || typeof address === 'string') throw new Error('no port')
  return address.port
}

async function untilListening(port: number, child: ChildProcess): Promise<void> {
  for (;;) {
    if (child.exitCode !== null) throw new Error(`sshd ended with exit code ${child.exitCode}`)
    const socket = connect({ host: '127.0.0.1', port })
    const isOpen = await once(socket, 'connect').then(
      () => true,
      () => false,
    )
    socket.destroy()
    if (isOpen) return
    await delay(20)
  }
}

/** Process ids of the server's side of established connections. */
async function connectionsOf(port: number): Promise<number[]> {
  const { stdout } = await run('ss', ['-Htnp', 'state', 'established', `( sport = :${port} )`])
  return [...stdout.matchAll(/pid=(\d+)/g)].map(([, pid]) => Number(pid))
}
