import { once } from 'node:events'
import { connect, createServer, type Server, type Socket } from 'node:net'

export interface CuttingProxy {
  readonly socketPath: string
  /** Cuts the connection of the next request that begins so (`POST /containers/create`) when its answer comes. */
  readonly loseAnswerOf: (requestLine: string) => void
  /** Hands every request that begins so on only when `arrives` has come; `asked` settles with the first. */
  readonly holdUp: (requestLine: string, arrives: Promise<unknown>) => { readonly asked: Promise<void> }
  /** Cuts every connection, and each new one at once, until `back`: an Engine that is away. */
  readonly away: () => void
  readonly back: () => void
  /** How many connections have been cut since it went away. */
  readonly refused: () => number
  readonly close: () => void
}

/** For tests: an Engine's socket whose answers can be lost on the way. */
export async function openCuttingProxy(engineSocketPath: string, socketPath: string): Promise<CuttingProxy> {
  const sockets = new Set<Socket>()
  let lost: string | undefined
  const held = new Held()
  let isAway = false
  let refused = 0
  const cutAll = () => {
    for (const socket of sockets) socket.destroy()
  }
  const server: Server = createServer((client) => {
    if (isAway) {
      refused += 1
      client.destroy()
      return
    }
    const engine = connect(engineSocketPath)
    for (const socket of [client, engine]) {
      sockets.add(socket)
      socket.on('error', () => {})
      socket.once('close', () => sockets.delete(socket))
    }
    let isCut = false
    let written: Promise<unknown> = Promise.resolve()
    client.on('data', (chunk) => {
      if (lost !== undefined && chunk.toString('latin1').startsWith(lost)) {
        isCut = true
        lost = undefined
      }
      written = written.then(() => held.arrivalOf(chunk)).then(() => engine.write(chunk))
    })
    engine.on('data', (chunk) => (isCut ? client.destroy() : client.write(chunk)))
    client.once('end', () => void written.then(() => engine.end()))
    engine.once('end', () => client.end())
  })
  await once(server.listen(socketPath), 'listening')
  return {
    socketPath,
    loseAnswerOf: (requestLine) => {
      lost = requestLine
    },
    holdUp: (requestLine, arrives) => held.hold(requestLine, arrives),
    away: () => {
      isAway = true
      cutAll()
    },
    back: () => {
      isAway = false
    },
    refused: () => refused,
    close: () => {
      server.close()
      cutAll()
    },
  }
}

/** Requests that take their time on the way. */
class Held {
  #requestLine: string | undefined
  #arrives: Promise<unknown> = Promise.resolve()
  #onAsked = () => {}

  hold(requestLine: string, arrives: Promise<unknown>): { asked: Promise<void> } {
    const { promise: asked, resolve } = Promise.withResolvers<void>()
    this.#requestLine = requestLine
    this.#arrives = arrives
    this.#onAsked = resolve
    return { asked }
  }

  async arrivalOf(chunk: Buffer): Promise<void> {
    if (this.#requestLine === undefined || !chunk.toString('latin1').startsWith(this.#requestLine)) return
    this.#onAsked()
    await this.#arrives
  }
}
