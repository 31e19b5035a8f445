import type { IncomingMessage } from 'node:http'
import type { Duplex } from 'node:stream'
import { WebSocketServer, type WebSocket } from 'ws'
import type { Terminal } from './container-machine.ts'
import type { LoopbackSandbox } from './loopback-sandboxes.ts'
import { Refusal } from './refusal.ts'

const exitControl = 'X-Daytona-Pty-Exit-Control'
const envsPrefix = 'X-Daytona-Pty-Envs~'
/** The daemon reads a terminal in pieces of this size. */
const messageBytes = 32 * 1024
const unsentBytes = 1024 * 1024

interface Opening {
  readonly request: IncomingMessage
  readonly socket: Duplex
  readonly head: Buffer
  readonly sandbox: LoopbackSandbox
  readonly query: URLSearchParams
}

/** Terminals of the daemon, each over one WebSocket, which they outlive. */
export class LoopbackTerminals {
  readonly #server = new WebSocketServer({
    noServer: true,
    handleProtocols: (offered) => (offered.has(exitControl) ? exitControl : ([...offered][0] ?? false)),
  })
  readonly #sockets = new Set<WebSocket>()

  async open({ request, socket, head, sandbox, query }: Opening): Promise<void> {
    const id = query.get('id') ?? ''
    if (sandbox.terminals.has(id)) throw new Refusal(409, `PTY session ${id} already exists`)
    const cwd = query.get('cwd')
    const terminal = await sandbox.running().openTerminal({ envs: envsOf(request), ...(cwd !== null && { cwd }) })
    sandbox.terminals.set(id, terminal)
    this.#server.handleUpgrade(request, socket, head, (ws) => {
      this.#sockets.add(ws)
      ws.once('close', () => this.#sockets.delete(ws))
      join(ws, terminal, () => sandbox.terminals.delete(id))
    })
  }

  async kill(sandbox: LoopbackSandbox, id: string): Promise<void> {
    const terminal = sandbox.terminals.get(id)
    if (terminal === undefined) throw new Refusal(404, `PTY session ${id} not found`)
    sandbox.terminals.delete(id)
    await terminal.kill()
  }

  cut(): void {
    for (const ws of this.#sockets) ws.terminate()
  }
}

function join(ws: WebSocket, terminal: Terminal, onExit: () => void): void {
  const { stream } = terminal
  ws.send(JSON.stringify({ type: 'control', status: 'connected' }))
  stream.on('data', (chunk: Buffer) => {
    if (ws.readyState !== ws.OPEN) return
    for (let at = 0; at < chunk.length; at += messageBytes) {
      ws.send(chunk.subarray(at, at + messageBytes), () => {
        if (ws.bufferedAmount < unsentBytes) stream.resume()
      })
    }
    if (ws.bufferedAmount >= unsentBytes) stream.pause()
  })
  ws.on('message', (data: Buffer) => {
    if (stream.writable && !stream.write(data)) {
      ws.pause()
      stream.once('drain', () => ws.resume())
    }
  })
  // Without anybody at the other end it goes on, and what it says is dropped.
  ws.once('close', () => stream.resume())
  stream.on('error', () => {})
  stream.once('close', () => {
    onExit()
    void terminal.exitCode().then(
      (exitCode) => {
        if (ws.readyState !== ws.OPEN) return
        ws.send(JSON.stringify({ type: 'control', status: 'exited', exitCode }))
        ws.close(1000, JSON.stringify({ exitCode }))
      },
      () => ws.close(1011),
    )
  })
}

function envsOf({ headers }: IncomingMessage): Record<string, string> {
  const offered = (headers['sec-websocket-protocol'] ?? '').split(',').map((protocol) => protocol.trim())
  const token = offered.find((protocol) => protocol.startsWith(envsPrefix))
  if (token === undefined) return {}
  const envs: Record<string, string> = JSON.parse(Buffer.from(token.slice(envsPrefix.length), 'base64url').toString())
  return envs
}
