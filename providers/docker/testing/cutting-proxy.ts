import { once } from 'node:events'
import { connect, createServer, type Server, type Socket } from 'node:net'

export interface CuttingProxy {
  readonly socketPath: string
  /** Cuts the connection of the next request that begins so (`POST /containers/create`) when its answer comes. */
  readonly loseAnswerOf: (requestLine: string) => void
  readonly close: () => void
}

/** For tests: an Engine's socket whose answers can be lost on the way. */
export async function openCuttingProxy(engineSocketPath: string, socketPath: string): Promise<CuttingProxy> {
  const sockets = new Set<Socket>()
  let lost: string | undefined
  const server: Server = createServer((client) => {
    const engine = connect(engineSocketPath)
    for (const socket of [client, engine]) {
      sockets.add(socket)
      socket.on('error', () => {})
      socket.once('close', () => sockets.delete(socket))
    }
    let isCut = false
    client.on('data', (chunk) => {
      if (lost !== undefined && chunk.toString('latin1').startsWith(lost)) {
        isCut = true
        lost = undefined
      }
      engine.write(chunk)
    })
    engine.on('data', (chunk) => (isCut ? client.destroy() : client.write(chunk)))
    client.once('end', () => engine.end())
    engine.once('end', () => client.end())
  })
  await once(server.listen(socketPath), 'listening')
  return {
    socketPath,
    loseAnswerOf: (requestLine) => {
      lost = requestLine
    },
    close: () => {
      server.close()
      for (const socket of sockets) socket.destroy()
    },
  }
}
