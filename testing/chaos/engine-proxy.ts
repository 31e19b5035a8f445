import { once } from 'node:events'
import { connect, createServer } from 'node:net'
import type { Server, Socket } from 'node:net'

/** A socket in front of the Engine's that can go away and come back, as if the Engine's daemon had ended. */
export interface EngineProxy {
  readonly socketPath: string
  /** Cuts every connection; new ones are refused until `comeBack`. */
  goAway(): void
  comeBack(): Promise<void>
  close(): void
}

export async function openEngineProxy(enginePath: string, socketPath: string): Promise<EngineProxy> {
  const sockets = new Set<Socket>()
  let server = await listen()

  async function listen(): Promise<Server> {
    const listening = createServer({ allowHalfOpen: true }, (client) => {
      const engine = connect({ path: enginePath, allowHalfOpen: true })
      for (const [socket, other] of [
        [client, engine],
        [engine, client],
      ] as const) {
        sockets.add(socket)
        socket.on('error', () => other.destroy())
        socket.once('close', () => {
          sockets.delete(socket)
          other.destroy()
        })
        socket.pipe(other)
      }
    })
    await once(listening.listen(socketPath), 'listening')
    return listening
  }

  const goAway = () => {
    // Node removes the socket's file, too.
    server.close()
    for (const socket of sockets) socket.destroy()
  }
  return {
    socketPath,
    goAway,
    comeBack: async () => {
      if (!server.listening) server = await listen()
    },
    close: goAway,
  }
}
