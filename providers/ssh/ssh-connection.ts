import { once } from 'node:events'
import { connect as connectSocket } from 'node:net'
import type { Socket } from 'node:net'
import type { Client, ConnectConfig } from 'ssh2'
import { RollcallError } from '../../protocol/failure.ts'
import { hostKeyCheck } from './host-key.ts'
import { SessionStream } from './session-stream.ts'
import { sshError } from './ssh-errors.ts'
import type { SshCredential, SshTarget } from './ssh-target.ts'

const connectTimeoutMs = 20_000
/** A peer that has gone without a word is noticed after four of them. */
const keepAliveEveryMs = 5_000
/** An exec request on a connection whose peer is gone is never answered. */
const openTimeoutMs = 15_000

/** One authenticated connection to a host. */
export interface SshConnection {
  /** Starts a command in a session of its own. */
  exec(command: string): Promise<SessionStream>
  /** Settles when the connection is over, for whatever reason. */
  readonly closed: Promise<void>
  end(): void
}

/**
 * Connects on a socket of our own: ssh2 leaves Nagle's algorithm on, which makes each command 27 times slower
 * (facts/ssh.md).
 * @throws RollcallError `provider-unavailable`, `provider-auth`; ssh2's own error when the server dropped the connection
 */
export async function connectSsh(target: SshTarget): Promise<SshConnection> {
  const { Client: SshClient } = await loadSsh2()
  const check = await hostKeyCheck(target)
  const socket = await openSocket(target)
  const client = new SshClient()
  let refusal: RollcallError | undefined
  const ready = Promise.withResolvers<void>()
  const closed = new Promise<void>((resolve) => client.once('close', () => resolve()))
  // ssh2 may tell of more than one; the first one counts, and none may be without a listener.
  client.on('error', (error) => ready.reject(refusal ?? error))
  client.once('ready', () => ready.resolve())
  void closed.then(() => ready.reject(new Error('the connection was closed')))
  try {
    client.connect({
      sock: socket,
      username: target.user,
      ...authentication(target.credential),
      algorithms: { serverHostKey: { prepend: [...check.preferred], append: [], remove: [] } },
      readyTimeout: connectTimeoutMs,
      keepaliveInterval: keepAliveEveryMs,
      keepaliveCountMax: 3,
      hostVerifier: (key: Buffer, answer: (isRight: boolean) => void) => {
        check.verify(key).then(
          (error) => {
            refusal = error
            answer(error === undefined)
          },
          (error: unknown) => {
            refusal = sshError(target, 'be recognised', error)
            answer(false)
          },
        )
      },
    })
    await ready.promise
  } catch (error) {
    client.destroy()
    socket.destroy()
    throw refusal ?? error
  }
  return { exec: (command) => openSession(client, command), closed, end: () => client.end() }
}

async function openSocket({ host, port }: SshTarget): Promise<Socket> {
  const socket = connectSocket({ host, port, noDelay: true, keepAlive: true, timeout: connectTimeoutMs })
  socket.once('timeout', () => socket.destroy(new Error(`no answer within ${connectTimeoutMs} ms`)))
  await once(socket, 'connect')
  return socket.setTimeout(0)
}

async function openSession(client: Client, command: string): Promise<SessionStream> {
  const { promise, resolve, reject } = Promise.withResolvers<SessionStream>()
  const timer = setTimeout(() => {
    client.destroy()
    reject(new Error(`no answer within ${openTimeoutMs} ms`))
  }, openTimeoutMs)
  const onClose = (): void => reject(new Error('the connection was closed'))
  client.once('close', onClose)
  try {
    // Throws at once on a connection that is over.
    client.exec(command, (error, channel) =>
      error === undefined ? resolve(new SessionStream(channel)) : reject(error),
    )
    return await promise
  } finally {
    clearTimeout(timer)
    client.off('close', onClose)
  }
}

function authentication(credential: SshCredential): Partial<ConnectConfig> {
  switch (credential.type) {
    case 'agent':
      return { agent: credential.socket }
    case 'key': {
      const { privateKey, passphrase } = credential
      return { privateKey, ...(passphrase !== undefined && { passphrase }) }
    }
    case 'password':
      return { password: credential.password, tryKeyboard: false }
  }
}

async function loadSsh2(): Promise<{ Client: new () => Client }> {
  try {
    const { default: ssh2 } = await import('ssh2')
    return ssh2
  } catch (error) {
    throw new RollcallError(
      'configuration-invalid',
      'The provider ssh needs the package ssh2, which is not installed: npm install ssh2@1.17.0',
      { cause: error },
    )
  }
}
