import { setTimeout as delay } from 'node:timers/promises'
import pLimit from 'p-limit'
import type { SessionStream } from './session-stream.ts'
import { connectSsh } from './ssh-connection.ts'
import type { SshConnection } from './ssh-connection.ts'
import { isSessionLimit, isStartLimit, sshError } from './ssh-errors.ts'
import type { SshTarget } from './ssh-target.ts'

/** sshd allows 10 sessions by default (MaxSessions), and frees them late. */
const sessionsPerConnection = 6
/** sshd drops connections at random when more than 10 are beginning (MaxStartups). */
const connectsAtOnce = 4
const connectAttempts = 6
const idleAfterMs = 5 * 60_000

interface Pooled {
  readonly connection: Promise<SshConnection>
  sessions: number
  /** The server has refused a session: no more until one ends. */
  full: boolean
  idle?: NodeJS.Timeout
}

/**
 * Connections to one host with one credential and one host key, shared by all who run something there. Nobody else's
 * connections are ever used. One that is idle for five minutes is closed; one in use never is.
 */
export class SshConnections {
  readonly #target: SshTarget
  readonly #pooled = new Set<Pooled>()
  readonly #limit = pLimit(connectsAtOnce)
  readonly #idleMs: number
  #isClosed = false

  /** @param idleMs how long a connection that nobody uses is kept */
  constructor(target: SshTarget, idleMs: number = idleAfterMs) {
    this.#target = target
    this.#idleMs = idleMs
  }

  /**
   * Starts a command in a session of its own, on a connection that has room for it.
   * @throws RollcallError `provider-unavailable`, `provider-auth`
   */
  async exec(command: string): Promise<SessionStream> {
    for (;;) {
      const pooled = this.#withRoom()
      try {
        const connection = await pooled.connection
        const session = await connection.exec(command)
        void session.over.then(() => this.#release(pooled))
        return session
      } catch (error) {
        this.#release(pooled)
        if (!isSessionLimit(error) || pooled.sessions === 0) throw sshError(this.#target, 'start a command', error)
        pooled.full = true
      }
    }
  }

  async close(): Promise<void> {
    this.#isClosed = true
    const ended = [...this.#pooled].map(async (pooled) => {
      const connection = await pooled.connection.catch(() => undefined)
      connection?.end()
      await connection?.closed
    })
    await Promise.all(ended)
  }

  /** Counted at once, so that many who ask together do not all take the same place. */
  #withRoom(): Pooled {
    const free = [...this.#pooled].find(({ sessions, full }) => !full && sessions < sessionsPerConnection)
    const pooled = free ?? this.#add()
    clearTimeout(pooled.idle)
    pooled.sessions += 1
    return pooled
  }

  #add(): Pooled {
    if (this.#isClosed) throw new Error('This provider has been closed')
    const connection = this.#limit(() => this.#connect())
    const pooled: Pooled = { connection, sessions: 0, full: false }
    this.#pooled.add(pooled)
    const remove = (): void => void this.#pooled.delete(pooled)
    connection.then(({ closed }) => closed.then(remove), remove)
    return pooled
  }

  #release(pooled: Pooled): void {
    pooled.sessions -= 1
    pooled.full = false
    if (pooled.sessions > 0) return
    const end = async (): Promise<void> => {
      const connection = await pooled.connection.catch(() => undefined)
      if (pooled.sessions > 0) return
      this.#pooled.delete(pooled)
      connection?.end()
    }
    pooled.idle = setTimeout(() => void end(), this.#idleMs).unref()
  }

  /** Again, after a while that is different for everybody, where the server dropped the connection before it spoke. */
  async #connect(): Promise<SshConnection> {
    for (let attempt = 1; ; attempt += 1) {
      try {
        return await connectSsh(this.#target)
      } catch (error) {
        if (attempt === connectAttempts || !isStartLimit(error)) throw sshError(this.#target, 'be reached', error)
      }
      await delay(Math.random() * 100 * 2 ** attempt)
    }
  }
}
